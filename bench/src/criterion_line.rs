//! What stands behind `cargo bench --` where no command of the bench does: filters, and options of criterion's own.

/// Options of criterion 0.8 that take a value, which is no filter.
const WITH_VALUE: [&str; 19] = [
    "-c",
    "--color",
    "-s",
    "--save-baseline",
    "-b",
    "--baseline",
    "--baseline-lenient",
    "--format",
    "--profile-time",
    "--load-baseline",
    "--sample-size",
    "--warm-up-time",
    "--measurement-time",
    "--nresamples",
    "--noise-threshold",
    "--confidence-level",
    "--significance-level",
    "--plotting-backend",
    "--output-format",
];
/// Options after which there is nothing to report.
const NO_TIMES: [&str; 4] = ["--test", "--list", "--profile-time", "--load-baseline"];

/// Filters and criterion's options, which come in any order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct CriterionLine {
    /// Parts of `op/phase/case`, all of which a phase must have.
    pub filters: Vec<String>,
    /// Criterion's options, without their values.
    options: Vec<String>,
}

impl CriterionLine {
    /// Tells options, their values and filters apart.
    ///
    /// # Errors
    /// Options beside several filters, of which criterion would refuse the second.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut line = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if !word.starts_with('-') {
                line.filters.push(word.clone());
                continue;
            }
            let name = word.split('=').next().unwrap_or(word);
            if WITH_VALUE.contains(&word.as_str()) {
                words.next();
            }
            line.options.push(name.into());
        }
        match (&line.filters[..], &line.options[..]) {
            ([_, _, ..], [option, ..]) => Err(format!(
                "{option} is criterion's own option, which goes with one FILTER and not with `{}`; \
                 name one part of op/phase/case, or leave the option out",
                line.filters.join(" ")
            )),
            _ => Ok(line),
        }
    }

    /// Whether criterion may read the command line itself: it knows one filter.
    pub fn is_criterions(&self) -> bool {
        self.filters.len() < 2
    }

    /// Whether nothing runs, so that nothing has to be right.
    pub fn lists(&self) -> bool {
        self.options.iter().any(|option| option == "--list")
    }

    /// Whether the report follows: for filters, and where times are measured at all.
    pub fn reports(&self) -> bool {
        let no_times = |option: &String| NO_TIMES.contains(&option.as_str());
        !self.filters.is_empty() && !self.options.iter().any(no_times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<CriterionLine, String> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        CriterionLine::parse(&words)
    }

    #[test]
    fn an_option_stands_before_or_behind_the_filter() {
        for line in [
            "soft_sign",
            "--quick soft_sign",
            "soft_sign --quick",
            "-s main soft_sign",
            "-smain soft_sign",
            "--save-baseline main soft_sign",
            "--save-baseline=main soft_sign -n",
            "--sample-size 10 soft_sign --output-format bencher",
        ] {
            let line = parse(line).expect(line);
            assert_eq!(line.filters, ["soft_sign"]);
            assert!(line.is_criterions() && line.reports() && !line.lists());
        }
    }

    #[test]
    fn what_measures_nothing_is_not_reported() {
        for line in [
            "",
            "--quick",
            "--list soft_sign",
            "--profile-time 5 soft_sign",
            "soft_sign -b x --load-baseline=y",
        ] {
            assert!(!parse(line).expect(line).reports(), "{line}");
        }
        assert!(parse("soft_sign --list").expect("a list").lists());
    }

    #[test]
    fn several_filters_go_without_criterions_options() {
        let two = parse("depthwise forward").expect("two filters");
        assert!(two.reports() && !two.is_criterions());
        let error = parse("depthwise --quick forward").expect_err("criterion refuses it");
        assert!(
            error.contains("--quick") && error.contains("`depthwise forward`"),
            "{error}"
        );
    }
}
