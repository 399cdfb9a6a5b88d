//! JSON text as Jackson's `DefaultPrettyPrinter` lays it out (`json.indent.output`): a member a line,
//! two spaces a level, arrays in one line.

/// Appends `compact`, JSON text without space between its tokens.
pub(super) fn indent(compact: &[u8], out: &mut Vec<u8>) {
    // What is open, outermost first: objects, which alone are levels, and arrays.
    let mut objects = Vec::new();
    let mut level = 0;
    let mut at = 0;
    while let Some(&byte) = compact.get(at) {
        let empty = matches!(compact.get(at + 1), Some(b'}' | b']'));
        match byte {
            b'"' => {
                let end = string_end(compact, at);
                out.extend_from_slice(&compact[at..end]);
                at = end;
                continue;
            }
            b'{' | b'[' if empty => {
                let text: &[u8] = if byte == b'{' { b"{ }" } else { b"[ ]" };
                out.extend_from_slice(text);
                at += 1;
            }
            b'{' => {
                objects.push(true);
                level += 1;
                out.push(b'{');
                line(level, out);
            }
            b'[' => {
                objects.push(false);
                out.extend_from_slice(b"[ ");
            }
            b'}' => {
                objects.pop();
                level -= 1;
                line(level, out);
                out.push(b'}');
            }
            b']' => {
                objects.pop();
                out.extend_from_slice(b" ]");
            }
            b',' => {
                out.push(b',');
                match objects.last() {
                    Some(true) => line(level, out),
                    _ => out.push(b' '),
                }
            }
            b':' => out.extend_from_slice(b" : "),
            other => out.push(other),
        }
        at += 1;
    }
}

fn line(level: usize, out: &mut Vec<u8>) {
    out.push(b'\n');
    out.resize(out.len() + 2 * level, b' ');
}

/// Behind the string that begins at `start`.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match text.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return text.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Jackson 2.19 made of them.
    #[test]
    fn as_jackson_lays_it_out() {
        for (compact, expected) in [
            ("1", "1"),
            ("\"a\"", "\"a\""),
            ("null", "null"),
            ("{}", "{ }"),
            ("[]", "[ ]"),
            (r#"{"a":{}}"#, "{\n  \"a\" : { }\n}"),
            ("[[],{}]", "[ [ ], { } ]"),
            (
                r#"{"a":1,"b":[1,2,{"c":null,"d":[{"e":true}]}]}"#,
                "{\n  \"a\" : 1,\n  \"b\" : [ 1, 2, {\n    \"c\" : null,\n    \"d\" : [ {\n      \
                 \"e\" : true\n    } ]\n  } ]\n}",
            ),
            (r#"[{"a":1},{"b":2}]"#, "[ {\n  \"a\" : 1\n}, {\n  \"b\" : 2\n} ]"),
            (
                r#"{"q":"x{[,:\"]}\\","n":-1.5}"#,
                "{\n  \"q\" : \"x{[,:\\\"]}\\\\\",\n  \"n\" : -1.5\n}",
            ),
        ] {
            let mut out = Vec::new();
            indent(compact.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
