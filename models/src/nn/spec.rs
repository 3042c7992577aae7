use ghostlight_kernels::planted;

/// How a tensor is laid out here and in a PyTorch state dict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Convolution weight: `[kh, kw, ci, co]` here, `[co, ci, kh, kw]` in PyTorch.
    Conv,
    /// Depthwise weight: `[kh, kw, c]` here, `[c, 1, kh, kw]` in PyTorch.
    Depthwise,
    /// Fully connected weight: `[in, out]` here, `[out, in]` in PyTorch.
    Linear,
    /// Pointwise weight that a fully connected layer applies: `[in, out]` here, `[out, in, 1, 1]` in PyTorch.
    Pointwise,
    /// Fully connected weight over a map: `[h, w, c, out]` here, `[out, c h w]` in PyTorch.
    OfMap,
    /// A vector, the same in both.
    Vector,
    /// A batch norm's gamma: a vector, which lies beside those of all other norms.
    Scale,
    /// Biases by offset, `[heads, offsets in a window]` in both: how many there are follows from the images.
    Offsets,
    /// A running statistic: a vector that is no parameter and gets no gradient.
    Running,
    /// The running variance of a batch norm, declared behind its [`Kind::Scale`]; they lie beside each other as the scales do.
    Variance,
}

impl Kind {
    /// Whether it is a running statistic, and no parameter.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Variance)
    }

    /// Whether a norm's scale is made of it: see [`super::Store::running_scales`].
    pub(super) fn makes_scales(self) -> bool {
        matches!(self, Self::Scale | Self::Variance)
    }
}

/// The values a tensor starts from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// One value everywhere.
    Constant(f64),
    /// Normal with this standard deviation.
    Normal(f64),
    /// Uniform between minus and plus this bound.
    Uniform(f64),
}

/// One declared tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The PyTorch state-dict key.
    pub path: String,
    /// Extents in the layout of this project.
    pub shape: Vec<usize>,
    /// Layout and role.
    pub kind: Kind,
    /// Starting values.
    pub init: Init,
}

impl Spec {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether weight decay applies: scales and shifts of norms and biases are few and not what overfits.
    pub(super) fn decays(&self) -> bool {
        !matches!(self.kind, Kind::Vector | Kind::Scale | Kind::Offsets) && !self.kind.is_running()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Extents in PyTorch's layout.
    pub fn torch_shape(&self) -> Vec<usize> {
        match (self.kind, self.shape.as_slice()) {
            (Kind::Conv, &[kh, kw, ci, co]) => vec![co, ci, kh, kw],
            (Kind::Depthwise, &[kh, kw, c]) => vec![c, 1, kh, kw],
            (Kind::Linear, &[input, output]) => vec![output, input],
            (Kind::Pointwise, &[input, output]) => vec![output, input, 1, 1],
            (Kind::OfMap, &[h, w, c, output]) => vec![output, c * h * w],
            _ => self.shape.clone(),
        }
    }

    /// For each element in PyTorch's order, its position in this project's order.
    pub fn torch_order(&self) -> Vec<usize> {
        match (self.kind, self.shape.as_slice()) {
            (Kind::Conv | Kind::OfMap, &[kh, kw, ci, co]) if !planted::is("torch_order_kept") => (0
                ..co)
                .flat_map(|o| {
                    (0..ci).flat_map(move |i| (0..kh * kw).map(move |k| (k * ci + i) * co + o))
                })
                .collect(),
            (Kind::Depthwise, &[kh, kw, c]) => (0..c)
                .flat_map(|c0| (0..kh * kw).map(move |k| k * c + c0))
                .collect(),
            (Kind::Linear | Kind::Pointwise, &[input, output]) => (0..output)
                .flat_map(|o| (0..input).map(move |i| i * output + o))
                .collect(),
            _ => (0..self.len()).collect(),
        }
    }
}

/// Names a declared tensor; only its own model's [`super::Store`] knows what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Param(pub(super) usize);

/// The tensors a model is made of, in the order of their declaration.
#[derive(Debug, Default)]
pub struct Declarations {
    specs: Vec<Spec>,
}

impl Declarations {
    /// Whether nothing was declared.
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// The root of the paths.
    pub fn root(&mut self) -> Path<'_> {
        Path {
            declarations: self,
            prefix: String::new(),
        }
    }

    pub(super) fn into_specs(self) -> Vec<Spec> {
        self.specs
    }
}

/// A place in the tree of paths, as `layer1.0`.
pub struct Path<'a> {
    declarations: &'a mut Declarations,
    prefix: String,
}

impl Path<'_> {
    /// The place `name` under this one.
    pub fn at(&mut self, name: impl std::fmt::Display) -> Path<'_> {
        let prefix = self.join(&name.to_string());
        Path {
            declarations: self.declarations,
            prefix,
        }
    }

    /// This place again, for one that looks whether it has anything to declare.
    pub(crate) fn again(&mut self) -> Path<'_> {
        Path {
            declarations: self.declarations,
            prefix: self.prefix.clone(),
        }
    }

    /// Declares the tensor `name` at this place.
    pub fn declare(&mut self, name: &str, shape: &[usize], kind: Kind, init: Init) -> Param {
        let path = self.join(name);
        self.declarations.specs.push(Spec {
            path,
            shape: shape.to_vec(),
            kind,
            init,
        });
        Param(self.declarations.specs.len() - 1)
    }

    fn join(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }
}
