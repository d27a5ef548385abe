mod bonds;
mod chain;
mod contents;
mod files;
mod links;
mod liveness;
