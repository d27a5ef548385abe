//! The part of the server-sent-events format that nodes use.

/// Bytes of one event: a delivery of some full batches in hexadecimal.
const EVENT_BYTES_MAX: usize = 128 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: String,
}

/// Cuts a byte stream into events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// Bytes of the line that has not ended yet.
    line: Vec<u8>,
    event: Event,
    ready: std::collections::VecDeque<Event>,
}

/// An event longer than any that a node sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Parser {
    /// Takes the next bytes, cut anywhere.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            self.end_line();
        }
        self.line.extend_from_slice(rest);
        match self.line.len() + self.event.data.len() > EVENT_BYTES_MAX {
            true => Err(TooLong),
            false => Ok(()),
        }
    }

    /// The next whole event.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        if text.is_empty() {
            let event = std::mem::take(&mut self.event);
            if !event.data.is_empty() {
                self.ready.push_back(event);
            }
            return;
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments keep the connection alive; ids repeat the height that is in the data.
            _ => {}
        }
    }
}
