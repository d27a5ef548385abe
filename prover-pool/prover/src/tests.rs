//! What a member promises: never beyond its capacity, no work lost, no false proof sent.

mod jobs;
mod pricing;
mod proving;
mod queue;
mod views;
