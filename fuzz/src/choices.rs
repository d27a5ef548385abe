//! Fuzzed bytes as a source of choices.

use bincode::Decode;
use bincode::config::standard;

/// Zeros that follow the input where a value is read from it, so that short inputs have meaning.
const PADDING: [u8; 2_048] = [0; 2_048];

/// Reads choices from the front; past the end every choice is 0.
pub(crate) struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Up to this many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.bytes(N);
        let mut array = [0; N];
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// Below `bound`, or 0 when that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let wide = match bound {
            0..=0x100 => usize::from(self.u8()),
            0x101..=0x1_0000 => usize::from(u16::from_le_bytes(self.array())),
            _ => u32::from_le_bytes(self.array()) as usize,
        };
        wide.checked_rem(bound).unwrap_or_default()
    }

    /// One of them, if there are any.
    pub(crate) fn one_of<'b, T>(&mut self, of: &'b [T]) -> Option<&'b T> {
        of.get(self.below(of.len()))
    }

    /// A number at or around `base`, or at the edge of what there is.
    pub(crate) fn near(&mut self, base: u64) -> u64 {
        match self.u8() % 12 {
            0..=4 => base,
            5 => base.wrapping_add(1),
            6 => base.wrapping_sub(1),
            7 => base.wrapping_add(u64::from(self.u8())),
            8 => u64::from(self.u8()),
            9 => u64::MAX - u64::from(self.u8() % 3),
            10 => 1 << (self.u8() % 64),
            _ => self.u64(),
        }
    }

    /// Whatever value of the type the input's bytes, followed by zeros, encode.
    pub(crate) fn value<T: Decode<()>>(&mut self) -> Option<T> {
        let length = self.below(1_024);
        let bytes = [self.bytes(length), &PADDING].concat();
        let config = standard()
            .with_fixed_int_encoding()
            .with_limit::<0x10_0000>();
        let (value, _) = bincode::decode_from_slice(&bytes, config).ok()?;
        Some(value)
    }
}
