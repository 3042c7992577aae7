//! Flip alignment: the group, the reference on random problems, the definition's identities, gradients, hostile values and refusals.

mod case;
mod gradients;
mod group;
mod hostile;
mod identities;
mod properties;
mod refusals;
