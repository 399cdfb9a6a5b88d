//! Random texts with a grammar of their own: patterns of dates, regular expressions and their
//! replacements, topics, and what headers hold.

use super::random::Random;

/// Some of one to `most` parts, one after another.
fn parts(random: &mut Random, most: usize, mut part: impl FnMut(&mut Random) -> String) -> String {
    (0..1 + random.below(most)).map(|_| part(random)).collect()
}

/// A pattern of `SimpleDateFormat`, now and then a wrong one.
pub fn date_pattern(random: &mut Random) -> String {
    let whole = ["yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "EEE, d MMM yyyy HH:mm:ss Z", "yyyyMMddHHmmssSSS"];
    if random.once_in(5) {
        return random.pick(&whole).to_owned();
    }
    parts(random, 7, |random| match random.below(10) {
        0 => random.pick(&["'at'", "''", "'o''clock'", "'T'", "' '"]).to_owned(),
        1..=3 => random.pick(&["-", "/", ":", ".", " ", ", ", "_", "T"][..7]).to_owned(),
        _ => {
            let letter = random.pick(&[
                "G", "y", "Y", "M", "L", "w", "W", "D", "d", "F", "E", "u", "a", "H", "k", "K",
                "h", "m", "s", "S", "z", "Z", "X",
            ]);
            let most = if random.once_in(6) { 6 } else { 4 };
            letter.repeat(1 + random.below(most))
        }
    })
}

/// A time in milliseconds, near now more often than not.
pub fn time(random: &mut Random) -> i64 {
    match random.below(8) {
        0 => random.below(1_000_000_000) as i64 - 500_000_000,
        // The years 1 to 9999.
        1 => random.below(315_537_811_200_000) as i64 - 62_135_596_800_000,
        2 => [0, -1, 999, 86_399_999, 951_782_400_000, 1_709_164_800_000][random.below(6)],
        _ => 1_400_000_000_000 + random.below(600_000_000_000) as i64,
    }
}

/// A regular expression as Java has them, in small letters or whatever size, `depth` groups deep at
/// most.
pub fn regex(random: &mut Random, depth: usize) -> String {
    let mut text = parts(random, 4, |random| {
        let kinds = if depth == 0 { 6 } else { 11 };
        let atom = match random.below(kinds) {
            0 | 1 => random.pick(&["a", "b", "t", "1", "-", "_", "\\.", "Z"]).to_owned(),
            2 => random.pick(&[".", "\\d", "\\w", "\\D", "\\W", "\\S", "\\p{Alpha}"]).to_owned(),
            3 => random.pick(&["[a-z]", "[^-]", "[a-c1-3]", "[\\w.]", "[a-z&&[^b]]"]).to_owned(),
            4 => random
                .pick(&["\\p{L}", "\\p{Lu}", "\\P{Digit}", "\\x74", "\\Qa.\\E", "[[:a]-]"])
                .to_owned(),
            5 => {
                return random.pick(&["^", "$", "\\b", "\\B", "(?<=a)", "(?<!b)"]).to_owned();
            }
            // Groups that repeat nothing at all are another matter in Java.
            6 => return format!("(?:{})", regex(random, depth - 1)),
            7 => return format!("(?{}{})", random.pick(&["=", "!", ">"]), regex(random, 0)),
            8 => return random.pick(&["(a|b)+", "(?:[ab]-)*", "(\\d+\\.)*", "(t)?"]).to_owned(),
            _ => return format!("({})", alternatives(random, depth - 1)),
        };
        let counts = ["", "", "", "?", "*", "+", "{1,2}", "{2}", "*?", "+?", "++", "*+"];
        atom + random.pick(&counts)
    });
    if random.once_in(3) {
        text += ".*";
    }
    if depth > 0 && random.once_in(6) { format!("(?i){text}") } else { text }
}

fn alternatives(random: &mut Random, depth: usize) -> String {
    let one = regex(random, depth);
    if random.once_in(3) { one + "|" + &regex(random, depth) } else { one }
}

/// What a match is replaced by.
pub fn replacement(random: &mut Random) -> String {
    parts(random, 3, |random| {
        random.pick(&["x", "$0", "$1", "-", "$2", "\\$", "${a}", "$10", "é"]).to_owned()
    })
}

/// A topic's name.
pub fn topic(random: &mut Random) -> String {
    let most = if random.once_in(4) { 12 } else { 4 };
    parts(random, most, |random| {
        random.pick(&["a", "b", "c", "t", "1", "2", "-", ".", "_", "Z", "at", "bb"]).to_owned()
    })
}

/// What SimpleHeaderConverter looks at: literals, lists and maps, and texts that nearly are.
pub fn literal(random: &mut Random, depth: usize) -> String {
    let space = |random: &mut Random| if random.once_in(8) { " " } else { "" };
    match random.below(if depth == 0 { 8 } else { 11 }) {
        0 => random
            .pick(&["0", "-1", "127", "128", "-129", "32768", "2147483648", "9223372036854775807"])
            .to_owned(),
        1 => random
            .pick(&[
                "1.5", "-0.25", "1e3", "1E-2", ".5", "5.", "+7", "007", "1.0", "3.4e38", "0x10",
            ])
            .to_owned(),
        2 => random
            .pick(&["true", "false", "TRUE", "False", "null", "NULL", "NaN", "Infinity", "t"])
            .to_owned(),
        3 => random
            .pick(&["2024-05-06", "07:08:09.010Z", "2024-05-06T07:08:09.010Z", "2024-5-6", "12:30"])
            .to_owned(),
        4 => random
            .pick(&["\"a\"", "\"a b\"", "\"\\\"\"", "\"1\"", "\"\"", "\"a", "a\"", "\"\\u00e9\""])
            .to_owned(),
        5 => random
            .pick(&["text", "two words", "Zürich", "a:b", "a,b", "日本", "\\", "\\,"])
            .to_owned(),
        6 => random
            .pick(&["", " ", "{", "[", "]", "{}", "[]", "{,}", "[,]", "[1", ":", ","])
            .to_owned(),
        7 => format!("{}{}{}", space(random), literal(random, 0), space(random)),
        8 | 9 => {
            let items: Vec<String> = (0..random.below(4))
                .map(|_| format!("{}{}", space(random), literal(random, depth - 1)))
                .collect();
            format!("[{}]{}", items.join(","), space(random))
        }
        // One entry: Java's hash map keeps no order that both sides could share.
        _ => {
            let (key, value) = (literal(random, 0), literal(random, depth - 1));
            format!("{{{}{key}{}:{}{value}}}", space(random), space(random), space(random))
        }
    }
}

/// A JSON document by hand: blanks, escapes, the same name twice, and now and then a mistake. Without
/// what is a difference that is meant: integers of more than 64 bits, numbers beyond a double, negative
/// zeros, leading zeros, and what follows a document.
pub fn json(random: &mut Random, depth: usize) -> String {
    let blank = |random: &mut Random| match random.below(8) {
        0 => random.pick(&[" ", "\n", "\t", "\r\n", "  "]),
        _ => "",
    };
    let before = blank(random);
    let text = match random.below(if depth == 0 { 4 } else { 7 }) {
        0 => random
            .pick(&[
                "0",
                "-1",
                "12",
                "9223372036854775807",
                "-9223372036854775808",
                "1.5",
                "-2.50",
                "1e3",
                "1E+2",
                "1e-2",
                "0.1",
                "123456789012345678.9",
                "1.7976931348623157e308",
                "4.9e-324",
                "1e-400",
                "2.2250738585072014E-308",
                "0e5",
                "0.0",
            ])
            .to_owned(),
        1 => random.pick(&["true", "false", "null"]).to_owned(),
        2 | 3 => json_string(random),
        4 => {
            let items: Vec<String> =
                (0..random.below(4)).map(|_| json(random, depth - 1)).collect();
            format!("[{}{}]", items.join(","), blank(random))
        }
        _ => {
            let members: Vec<String> = (0..random.below(4))
                .map(|_| {
                    let name = match random.below(3) {
                        0 => json_string(random),
                        _ => random.pick(&["\"a\"", "\"b\"", "\"\\u0061\"", "\"\""]).to_owned(),
                    };
                    format!("{}{name}{}:{}", blank(random), blank(random), json(random, depth - 1))
                })
                .collect();
            format!("{{{}{}}}", members.join(","), blank(random))
        }
    };
    let after = blank(random);
    if random.once_in(60) {
        return random
            .pick(&[
                "",
                "nul",
                "True",
                "NaN",
                "-",
                "1.",
                ".5",
                "1e",
                "+1",
                "'a'",
                "[1,]",
                "{\"a\":1,}",
                "{\"a\"}",
                "{a:1}",
                "[,]",
                "\"a",
                "\"\\x\"",
                "\"\\u12\"",
                "{",
                "/**/1",
                "//",
                "\u{feff}1",
                "0x1",
                "-Infinity",
                "undefined",
                "[1 2]",
                "{\"a\":1 \"b\":2}",
                "\"\t\"",
            ])
            .to_owned();
    }
    format!("{before}{text}{after}")
}

fn json_string(random: &mut Random) -> String {
    let inside = parts(random, 5, |random| {
        random
            .pick(&[
                "a",
                "bc",
                "",
                " ",
                "é",
                "日",
                "😀",
                "\\n",
                "\\\"",
                "\\\\",
                "\\/",
                "\\b",
                "\\u00e9",
                "\\uD83D\\uDE00",
                "\\u0000",
                "\\u2028",
                "\u{7f}",
                "\u{2028}",
                "0123456789abcdef",
                "<&>",
                "\\t",
                "\\f",
                "\\r",
                "'",
            ])
            .to_owned()
    });
    format!("\"{inside}\"")
}
