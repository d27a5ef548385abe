//! Running a target, and telling a panic that the code under test contained from one that it let
//! out.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::Target;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on a panic inside [`attempt`] is only remembered. The proof system's parser asserts,
/// and its caller contains that: it would be reported for every other input.
pub fn keep_contained_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            if INSIDE.get() {
                LAST.set(info.to_string());
            } else {
                usual(info);
            }
        }));
    });
}

/// Runs a target; the error is the panic that came out of it.
pub fn attempt(target: &Target, input: &[u8]) -> Result<(), String> {
    INSIDE.set(true);
    // A target makes everything that it changes anew.
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    INSIDE.set(false);
    result.map_err(|_| LAST.take())
}
