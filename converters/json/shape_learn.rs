//! How a document is cut into the slots of a shape.

use super::isa::{BASELINE, Isa};
use super::scan::Scanner;
use super::shape::{MAX_SLOTS, Shape, Slot, Value};

/// Objects inside each other that are cut up; a deeper one is one slot.
const MAX_CUT_DEPTH: usize = 16;

/// The shape of `doc`, which the pass has found to be a JSON object with white space around it.
/// `strict` says of a place where a top-level value begins whether the plan asks for its kind.
///
/// `None`: it has more values, or more text between them, than a shape may have.
#[cold]
pub(super) fn learn(doc: &[u8], strict: impl Fn(usize) -> bool) -> Option<Shape> {
    let mut scanner = Scanner::new(BASELINE, doc, 0, doc.len());
    scanner.space();
    let lead = scanner.at;
    let values = cut(&mut scanner, strict)?;
    let trail = doc.len() - scanner.at;
    Some(Shape::new(doc, values, lead, trail)).filter(Shape::fits)
}

/// The values, in order; the scanner ends behind the closing brace.
fn cut<I: Isa>(scanner: &mut Scanner<'_, I>, strict: impl Fn(usize) -> bool) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    scanner.expect(b'{', "").ok()?;
    let mut depth = 1;
    let mut fresh = true;
    loop {
        scanner.space();
        if !(fresh && scanner.peek() == b'}') {
            scanner.expect(b'"', "").ok()?;
            scanner.string().ok()?;
            scanner.space();
            scanner.expect(b':', "").ok()?;
            scanner.space();
            if scanner.peek() == b'{' && depth < MAX_CUT_DEPTH {
                scanner.at += 1;
                depth += 1;
                fresh = true;
                continue;
            }
            let start = scanner.at;
            let kind = scanner.value(depth).ok()?;
            let strict = depth == 1 && strict(start);
            if values.len() == MAX_SLOTS {
                return None;
            }
            let slot = Slot::of(kind, strict);
            values.push(Value { start, end: scanner.at, slot, strict, depth: depth as u16 });
        }
        // Behind a value: the end of the objects that end here, then a comma.
        loop {
            scanner.space();
            let byte = scanner.peek();
            scanner.at += 1;
            match byte {
                b',' => break,
                b'}' if depth == 1 => return Some(values),
                b'}' => depth -= 1,
                _ => return None,
            }
        }
        fresh = false;
    }
}
