//! Learned shapes against the one-pass patch and check: bit for bit the same, whatever comes.

use proptest::prelude::*;

use std::ops::Range;
use std::rc::Rc;

use super::patch::{Inserted, JsonOp, PatchPlan, RecordMeta};
use super::sought::Sought;
use super::{Checker, Level, MAX_DEPTH, check_at};
use crate::arena::Arena;
use crate::json_text::JsonText;

const META: RecordMeta<'static> =
    RecordMeta { topic: "to\"pic", partition: 3, timestamp: Some(1_700_000_000_000), offset: 42 };

fn own(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn insert(name: &str, what: Inserted) -> JsonOp {
    JsonOp::Insert { name: name.into(), what }
}

fn replace(include: &[&str], exclude: &[&str], renames: &[(&str, &str)]) -> JsonOp {
    let renames = renames.iter().map(|&(old, new)| (old.to_owned(), new.to_owned())).collect();
    JsonOp::Replace { include: own(include), exclude: own(exclude), renames }
}

fn mask(names: &[&str], replacement: Option<&str>) -> JsonOp {
    JsonOp::Mask { names: own(names), replacement: replacement.map(str::to_owned) }
}

/// Chains of every kind; the names are those of [`NAMES`].
fn chains() -> Vec<Vec<JsonOp>> {
    let fixed = |text: &str| Inserted::Static(text.to_owned());
    vec![
        vec![
            insert("source", fixed("kafka")),
            mask(&["ip"], None),
            replace(&[], &["ref"], &[("ua", "user_agent")]),
        ],
        vec![insert("ts", Inserted::Timestamp), insert("at", Inserted::Offset)],
        vec![insert("ip", Inserted::Topic), insert("n", Inserted::Partition)],
        vec![mask(&["ip", "n", "ua"], Some("7"))],
        vec![mask(&["n"], Some("seven"))],
        vec![replace(&["id", "ip", "user"], &[], &[("ip", "id")])],
        vec![replace(&[], &["user", "id"], &[("n", "ip"), ("ts", "ip")])],
        vec![replace(&["nothing"], &[], &[])],
        vec![],
    ]
}

const NAMES: [&str; 10] =
    ["id", "ts", "user", "ip", "ua", "ref", "n", "überlang", "i\\u0070", "another name of no use"];

/// Numbers from a seed; good enough to vary documents.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.roll(one_in) == 0
    }
}

/// What stays the same from record to record.
enum Layout {
    String,
    Integer,
    Number,
    Word,
    /// Any scalar.
    Loose,
    Array,
    Object(Vec<(&'static str, Layout)>),
}

fn layout(dice: &mut Dice, depth: usize) -> Layout {
    match dice.roll(if depth > 2 { 6 } else { 8 }) {
        0 | 1 => Layout::String,
        2 => Layout::Integer,
        3 => Layout::Number,
        4 => Layout::Word,
        5 => {
            if dice.chance(2) {
                Layout::Loose
            } else {
                Layout::Array
            }
        }
        _ => object(dice, depth + 1),
    }
}

fn object(dice: &mut Dice, depth: usize) -> Layout {
    let members = if depth == 0 { 3 + dice.roll(8) } else { dice.roll(4) };
    Layout::Object((0..members).map(|_| (dice.pick(&NAMES), layout(dice, depth))).collect())
}

fn string(dice: &mut Dice, out: &mut String) {
    out.push('"');
    for _ in 0..dice.roll(4) {
        match dice.roll(9) {
            0 => out.push_str(dice.pick(&["\\n", "\\\"", "\\\\", "\\u00e9", "\\ud800", "\\/"])),
            1 => out.push_str(dice.pick(&["é", "日本語", "😀"])),
            2 => out.extend(std::iter::repeat_n('x', dice.roll(200))),
            3 => out.push_str("\\\\\\\\"),
            _ => out.push_str(dice.pick(&[
                "a",
                "user-17",
                "https://example.org/",
                ",\\\":",
                "10.1.2.3",
            ])),
        }
    }
    out.push('"');
}

fn scalar(dice: &mut Dice, layout: &Layout, out: &mut String) {
    match layout {
        Layout::String => string(dice, out),
        Layout::Integer => {
            out.push_str(dice.pick(&[
                "0",
                "-0",
                "7",
                "-12",
                "1234567890123456789012345",
                "1700000000000",
            ]));
        }
        Layout::Number => out.push_str(dice.pick(&[
            "0",
            "1.5",
            "-0.0",
            "1e5",
            "2E-07",
            "10.25e+3",
            "123456789",
            "0.000000000000000000000001",
        ])),
        Layout::Word => out.push_str(dice.pick(&["true", "false", "null"])),
        _ => {
            let kind = dice.pick(&[0, 1, 2, 3]);
            let kinds = [Layout::String, Layout::Integer, Layout::Number, Layout::Word];
            scalar(dice, &kinds[kind], out);
        }
    }
}

fn write(dice: &mut Dice, layout: &Layout, space: &str, out: &mut String) {
    match layout {
        Layout::Array => {
            out.push('[');
            for at in 0..dice.roll(4) {
                if at > 0 {
                    out.push(',');
                }
                if dice.chance(6) {
                    out.push_str("[ {\"a\":[]} ]");
                } else {
                    scalar(dice, &Layout::Loose, out);
                }
            }
            out.push(']');
        }
        Layout::Object(members) => {
            out.push('{');
            for (at, (name, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(space);
                out.push('"');
                out.push_str(name);
                out.push_str("\":");
                out.push_str(space);
                write(dice, value, space, out);
            }
            out.push_str(space);
            out.push('}');
        }
        scalar_layout => scalar(dice, scalar_layout, out),
    }
}

/// A document of the layout, or what became of it on its way.
fn document(dice: &mut Dice, layout: &Layout, space: &str) -> Vec<u8> {
    let mut text = String::new();
    text.push_str(space);
    write(dice, layout, space, &mut text);
    text.push_str(space);
    let mut bytes = text.into_bytes();
    if !dice.chance(3) {
        return bytes;
    }
    let at = dice.roll(bytes.len());
    match dice.roll(7) {
        0 => bytes[at] ^= 1 << dice.roll(8),
        1 => bytes.truncate(at),
        2 => bytes.insert(at, dice.pick(b"\"\\,:{}[]0-. \n\x01\x80\xffe")),
        3 => {
            bytes.remove(at);
        }
        4 => bytes[at] = dice.pick(b"\"\\,:{}[]0-. \n\x01\x80\xffe"),
        5 => bytes.push(dice.pick(b"}{ ,\"0x")),
        // Members in another order, one of them twice.
        _ => {
            if let Layout::Object(members) = layout {
                let mut text = String::from("{");
                for turn in 0..=members.len() {
                    let (name, value) = &members[dice.roll(members.len())];
                    text.push_str(if turn > 0 { "," } else { "" });
                    text.push_str(&format!("\"{name}\":"));
                    write(dice, value, "", &mut text);
                }
                text.push('}');
                bytes = text.into_bytes();
            }
        }
    }
    bytes
}

type Answer = Result<(Vec<u8>, Vec<(u32, u32, Vec<u8>)>), String>;

fn answer(plan: &mut PatchPlan, buf: &[u8], start: usize, end: usize, meta: &RecordMeta) -> Answer {
    let arena = Arena::new();
    let text = plan.apply(buf, start, end, meta, &arena).map_err(|error| format!("{error:?}"))?;
    let edits = text.edits.iter().map(|edit| (edit.start, edit.end, edit.with.to_vec()));
    Ok((text.src.to_vec(), edits.collect()))
}

/// Puts the document between others: what stands around it must not matter.
fn surround(dice: &mut Dice, document: &[u8]) -> (Vec<u8>, usize, usize) {
    let before = dice.pick(&["", "\"", "{\"id\":", "\\"]);
    let after = dice.pick(&["", "}", "\"}", "5,\"ua\":\"x\"}", "\\\"", "\u{e9}"]);
    let mut buf = before.as_bytes().to_vec();
    buf.extend_from_slice(document);
    let (start, end) = (before.len(), buf.len());
    buf.extend_from_slice(after.as_bytes());
    // Spare bytes, as a batch's buffer has them, or none.
    buf.resize(buf.len() + dice.pick(&[0, 1, 40, 64, 200]), b'"');
    (buf, start, end)
}

fn compare(seed: u64) {
    let mut dice = Dice(seed);
    let chains = chains();
    let chain = &chains[dice.roll(chains.len())];
    let spaces = dice.pick(&["", "", "", " ", "\n  "]);
    let layouts: Vec<Layout> = (0..=dice.roll(4)).map(|_| object(&mut dice, 0)).collect();
    let documents: Vec<Vec<u8>> = (0..40)
        .map(|_| {
            let layout = dice.roll(layouts.len());
            document(&mut dice, &layouts[layout], spaces)
        })
        .collect();
    for level in Level::available() {
        let mut learned = PatchPlan::compile_at(chain, level).expect("few names");
        let mut once = PatchPlan::compile_at(chain, level).expect("few names").without_shapes();
        let mut checker = Checker::at(level);
        for document in &documents {
            let (buf, start, end) = surround(&mut dice, document);
            let timestamp = if dice.chance(2) { None } else { META.timestamp };
            let meta = RecordMeta { timestamp, ..META };
            assert_eq!(
                answer(&mut learned, &buf, start, end, &meta),
                answer(&mut once, &buf, start, end, &meta),
                "{level:?} {chain:?} {}",
                String::from_utf8_lossy(document)
            );
            assert_eq!(
                checker.check(&buf, start, end),
                check_at(level, &buf, start, end),
                "{level:?} {}",
                String::from_utf8_lossy(document)
            );
        }
        assert_eq!(once.shape_counts(), Default::default());
    }
    compare_places(&mut dice, &documents);
}

/// What somebody may look for: paths, and members that will be set.
fn questions() -> Vec<Rc<Sought>> {
    let path = |path: &str| path.split('.').map(str::to_owned).collect();
    let list: [(&[&str], &[&str]); 6] = [
        (&["ip"], &[]),
        (&["user.n", "ts", "überlang"], &["ref"]),
        (&["user.id.ip"], &["ua", "n"]),
        (&[], &["id", "ts", "nothing"]),
        (&["ref.ref.ref.ref", "n.ip"], &["ip"]),
        (&["nothing.at.all", "id.user"], &[]),
    ];
    let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let question = |(wanted, set): (&[&str], &[&str])| {
        Rc::new(Sought::new(wanted.iter().map(|one| path(one)).collect(), own(set)))
    };
    list.into_iter().map(question).collect()
}

type Places = (Vec<Option<Vec<u8>>>, Vec<Option<Range<usize>>>, usize, bool);

/// The answer that the text brings along, whose are `wanted` paths and `set` members.
fn places(sought: &Sought, text: &JsonText<'_>, (wanted, set): (usize, usize)) -> Option<Places> {
    let found = sought.found(text)?;
    Some((
        (0..wanted).map(|at| found.wanted(at).map(<[u8]>::to_vec)).collect(),
        (0..set).map(|at| found.place(at)).collect(),
        found.object.end,
        found.object.empty,
    ))
}

/// What documents with a shape tell against what a look through their members does: how many had one.
fn compare_places(dice: &mut Dice, documents: &[Vec<u8>]) -> u64 {
    let arena = Arena::new();
    let mut answers = 0;
    for (sought, counts) in questions().iter().zip([(1, 0), (3, 1), (1, 2), (0, 3), (2, 1), (2, 0)])
    {
        let level = dice.pick(&Level::available());
        let mut checker = Checker::at(level).seeking(Some(Rc::clone(sought)));
        for document in documents {
            let (buf, start, end) = surround(dice, document);
            let before = checker.shape_counts().hits;
            let Ok(Some(text)) = checker.text(&buf, start, end, &arena) else { continue };
            let told = places(sought, text, counts);
            if checker.shape_counts().hits == before {
                assert_eq!(told, None);
                continue;
            }
            let noted = sought.note(&JsonText::verbatim(text.src), &arena);
            let looked = noted.and_then(|noted| places(sought, &noted, counts));
            assert_eq!(told, looked, "{sought:?} {}", String::from_utf8_lossy(document));
            answers += u64::from(told.is_some());
        }
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 256 }))]

    #[test]
    fn the_same_as_one_pass(seed: u64) {
        compare(seed);
    }
}

/// A plan of three transforms, and one that does not learn.
fn pair(level: Level) -> (PatchPlan, PatchPlan) {
    let compile = || PatchPlan::compile_at(&chains()[0], level).expect("few names");
    (compile(), compile().without_shapes())
}

/// Carries the texts through both; asserts that they agree and tells how many had a shape.
fn hits(texts: &[String]) -> u64 {
    let mut hits = Vec::new();
    for level in Level::available() {
        let (mut learned, mut once) = pair(level);
        for text in texts {
            let buf = [text.as_bytes(), &[0; 64]].concat();
            let learned = answer(&mut learned, &buf, 0, text.len(), &META);
            assert_eq!(learned, answer(&mut once, &buf, 0, text.len(), &META), "{text}");
        }
        hits.push(learned.shape_counts().hits);
    }
    assert!(hits.windows(2).all(|pair| pair[0] == pair[1]), "{hits:?}");
    hits[0]
}

fn event(number: usize) -> String {
    format!(
        concat!(
            r#"{{"id":{},"user":{{"name":"u{}","tags":["a",{}]}},"ip":"10.0.0.{}","ua":"x\n{}","#,
            r#""amount":{}.5,"active":{},"ref":"https://example.org/{}"}}"#
        ),
        number,
        number * 7,
        number,
        number % 256,
        "y".repeat(number % 150),
        number,
        number.is_multiple_of(2),
        number
    )
}

#[test]
fn one_layout_is_learned_from_one_record() {
    let texts: Vec<String> = (0..100).map(event).collect();
    assert_eq!(hits(&texts), 99);
}

#[test]
fn a_shape_tells_where_values_stand() {
    let documents: Vec<_> = (0..100).map(|number| event(number).into_bytes()).collect();
    // Of one question the path leads through a number, of another through a text.
    assert_eq!(compare_places(&mut Dice(7), &documents), 99 * 4);
    // What stands beside the value that is wanted may be what nobody can parse.
    let numbers = ["1", "1e999", "12345678901234567890", "-1.5e3", "123456789012345678.5"];
    let document = |at: usize| {
        let number = numbers[at % numbers.len()];
        format!(r#"  {{"user":{{"n":[],"x":{{"y":{number}}},"z":"1e999"}},"ip":{number}}} "#)
    };
    let documents: Vec<_> = (0..100).map(|at| document(at).into_bytes()).collect();
    let answers = compare_places(&mut Dice(7), &documents);
    // The first is learned. Of each five two have such a number beside `user.n`, or `user.id`.
    assert_eq!(answers, 99 + 59 + 59 + 99 + 99 + 99);
}

#[test]
fn layouts_that_take_turns_are_all_known() {
    let texts: Vec<String> = (0..320)
        .map(|number| event(number).replacen('{', &format!("{{\"kind{}\":1,", number % 16), 1))
        .collect();
    assert_eq!(hits(&texts), 320 - 16);
}

#[test]
fn kinds_that_nobody_asks_for_do_not_matter() {
    let values = ["1", "\"text\"", "null", "2.5", "true", "\"\"", "-3e7"];
    let texts: Vec<String> =
        (0..70).map(|at| format!(r#"{{"id":{},"ip":"1"}}"#, values[at % 7])).collect();
    // A string, a number and a word: two times the slot is widened, then it takes all scalars.
    assert_eq!(hits(&texts), 68);
    // What is masked by its kind: each kind is a shape of its own.
    let texts: Vec<String> =
        (0..70).map(|at| format!(r#"{{"id":1,"ip":{}}}"#, values[at % 7])).collect();
    assert_eq!(hits(&texts), 65);
}

#[test]
fn what_misses_is_given_up_and_tried_again() {
    let level = Level::detect();
    let (mut plan, _) = pair(level);
    let mut run = |texts: &mut dyn Iterator<Item = String>| {
        for text in texts {
            answer(&mut plan, text.as_bytes(), 0, text.len(), &META).expect("an object");
        }
        plan.shape_counts()
    };
    // No two of these are alike.
    let counts = run(&mut (0..1000).map(|at| format!("{{\"name{at}\":1}}")));
    assert_eq!((counts.hits, counts.misses), (0, 256));
    assert_eq!((counts.given_up, counts.learned, counts.passed), (1, 64, 744));
    // The book wakes up and finds that there is something to learn.
    let counts = run(&mut (0..5000).map(event));
    assert_eq!((counts.given_up, counts.learned, counts.passed), (1, 65, 4096));
    // Learned from the last record that it let pass.
    assert_eq!(counts.hits, 5000 - (4096 - 744));
}

#[test]
fn a_layout_that_is_gone_makes_room() {
    let level = Level::detect();
    let (mut plan, _) = pair(level);
    let kind = |number: usize, kinds: usize| format!("{{\"kind{}\":{number}}}", number % kinds);
    let more = (0..1200).map(|number| kind(number, 64)).chain(
        (0..1200).map(
            |number| {
                if number % 8 == 0 { "{\"new\":1}".into() } else { kind(number, 2) }
            },
        ),
    );
    for text in more {
        answer(&mut plan, text.as_bytes(), 0, text.len(), &META).expect("an object");
    }
    let counts = plan.shape_counts();
    assert_eq!((counts.learned, counts.given_up), (65, 0));
    assert!(counts.misses < 64 + 2 * 256 / 8, "{counts:?}");
}

#[test]
fn large_and_deep_documents() {
    let nested =
        |depth: usize| format!("{{\"id\":1,\"n\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| {
        format!("{{\"id\":1,\"n\":{}1{}}}", "{\"a\":".repeat(depth), "}".repeat(depth))
    };
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|at| format!("\"m{at}\":{at}")).collect();
        format!("{{\"ip\":\"1\",{}}}", members.join(","))
    };
    let long = |length: usize| format!("{{\"ip\":\"{}\",\"ua\":1}}", "z".repeat(length));
    for (texts, expected) in [
        ([5, 5, MAX_DEPTH - 2, MAX_DEPTH - 1, MAX_DEPTH, 5].map(nested), 4),
        ([5, 5, 15, 14, 16, 40].map(objects), 2),
        ([40, MAX_DEPTH - 1, MAX_DEPTH - 2, 40, MAX_DEPTH, 40].map(objects), 4),
        ([10, 10, 191, 191, 192, 192].map(many), 2),
        ([10, 63, 64, 60_000, 64_400, 64_600].map(long), 4),
    ] {
        assert_eq!(hits(&texts), expected, "{:.80}", texts[0]);
    }
}

#[test]
fn the_end_is_exact() {
    let text = event(1);
    let mut texts = vec![text.clone(), text.clone()];
    texts.extend((1..text.len()).map(|at| text[..at].to_owned()));
    for suffix in ["}", " ", "\n", "x", "{}", "\u{0}"] {
        texts.push(format!("{text}{suffix}"));
    }
    // The first is learned; of the rest only the second is the same. A trailing blank and a
    // trailing new line are layouts of their own.
    for level in Level::available() {
        let (mut learned, mut once) = pair(level);
        for cut in &texts {
            // The rest of the text stands behind where the document was cut off.
            let buf = [cut.as_bytes(), &text.as_bytes()[cut.len().min(text.len())..]].concat();
            let learned = answer(&mut learned, &buf, 0, cut.len(), &META);
            assert_eq!(learned, answer(&mut once, &buf, 0, cut.len(), &META), "{cut}");
        }
        assert_eq!(learned.shape_counts().hits, 1);
    }
}
