//! The node of the payments rollup.
