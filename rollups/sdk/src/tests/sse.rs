//! Events come out whole, however the bytes are cut.

use crate::sse::{Event, Parser};

const TEXT: &str = ": keep-alive\n\nevent: delivery\nid: 7\ndata: {\"a\":\ndata: 1}\n\nevent:progress\r\ndata:x\r\n\r\n";

#[test]
fn events_do_not_depend_on_how_the_bytes_are_cut() {
    let expected = [
        Event {
            name: "delivery".into(),
            data: "{\"a\":\n1}".into(),
        },
        Event {
            name: "progress".into(),
            data: "x".into(),
        },
    ];
    for size in 1..TEXT.len() {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for chunk in TEXT.as_bytes().chunks(size) {
            parser.push(chunk).expect("short");
            events.extend(std::iter::from_fn(|| parser.pop()));
        }
        assert_eq!(events, expected, "cut into pieces of {size}");
    }
}
