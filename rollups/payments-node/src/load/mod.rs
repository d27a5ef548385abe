//! The devnet's load: payments at a steady rate, some of them wrong on purpose.

mod generator;
mod newcomers;
mod run;

pub(crate) use generator::{Generator, GeneratorOptions};
pub(crate) use run::run_load;
