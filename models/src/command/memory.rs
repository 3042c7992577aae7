use super::error::CommandError;
use crate::data::Dataset;
use crate::data::memory::available;
use crate::distill::plan;
use crate::recipe::Recipe;
use crate::summary::Role;
use crate::train::StepMemory;
use crate::zoo::{Architecture, ZooError};
use ghostlight_autodiff::Client;
use ghostlight_kernels::launch;

/// Refuses images that a network does not take, and trainings whose steps do not fit into the memory that is left. Where nobody tells how
/// much that is, and on devices with a memory of their own, none is refused for its size.
pub(super) fn check(
    client: &Client,
    recipe: &Recipe,
    dataset: &Dataset,
    images: usize,
) -> Result<(), CommandError> {
    let (classes, size) = (dataset.classes.len(), (dataset.height, dataset.width));
    let available = available().filter(|_| launch::is_cpu(client));
    // All trainings of a student take the same steps.
    for planned in plan(recipe)
        .into_iter()
        .filter(|it| it.role != Role::Taught)
    {
        let train = recipe.train_with(planned.train);
        let (arch, batch) = (planned.arch, train.batch.min(images));
        let step = StepMemory {
            arch: Architecture::new(arch, classes).images(size.0, size.1),
            fused: train.fused,
        };
        let needed = match step.needs(batch) {
            Err(ZooError::Kernel(source)) => {
                return Err(CommandError::Size {
                    arch: arch.to_string(),
                    height: size.0,
                    width: size.1,
                    source,
                });
            }
            other => other?,
        };
        let Some(available) = available else { continue };
        if needed > available {
            return Err(CommandError::Memory {
                arch: arch.to_string(),
                batch,
                size,
                needed,
                available,
                fits: step.fits(available, batch)?,
            });
        }
    }
    Ok(())
}
