use super::error::CommandError;
use crate::data::Dataset;
use crate::data::memory::available;
use crate::recipe::Recipe;
use crate::train::StepMemory;
use ghostlight_autodiff::Client;
use ghostlight_kernels::launch;

/// Refuses trainings whose steps do not fit into the memory that is left. Where nobody tells how much that is, and on devices with a
/// memory of their own, none is refused.
pub(super) fn check(
    client: &Client,
    recipe: &Recipe,
    dataset: &Dataset,
    batch: usize,
) -> Result<(), CommandError> {
    if !launch::is_cpu(client) {
        return Ok(());
    }
    let Some(available) = available() else {
        return Ok(());
    };
    let (classes, size) = (dataset.classes.len(), (dataset.height, dataset.width));
    for arch in [&recipe.teacher.arch, &recipe.student.arch] {
        let step = StepMemory::of(arch, classes, size)?;
        let needed = step.needs(batch);
        if needed > available {
            return Err(CommandError::Memory {
                arch: arch.clone(),
                batch,
                size,
                needed,
                available,
                fits: step.fits(available),
            });
        }
    }
    Ok(())
}
