//! Checking and patching of JSON text: agrees with another parser on what is JSON, gives JSON, and
//! gives the same with every set of instructions, whatever stands around the document; and learned
//! shapes say exactly what the one pass says.
#![no_main]

use std::cell::RefCell;
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use millrace_converters::json::patch::{Inserted, JsonOp, PatchPlan, RecordMeta};
use millrace_converters::json::sought::Sought;
use millrace_converters::json::{Checker, Kind, Level, check_at};
use millrace_converters::{Arena, JsonText};

fn insert(name: &str, what: Inserted) -> JsonOp {
    JsonOp::Insert { name: name.to_owned(), what }
}

fn replace(include: &[&str], exclude: &[&str], renames: &[(&str, &str)]) -> JsonOp {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let renames = renames.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned()));
    JsonOp::Replace { include: own(include), exclude: own(exclude), renames: renames.collect() }
}

fn mask(names: &[&str], replacement: Option<&str>) -> JsonOp {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    JsonOp::Mask { names, replacement: replacement.map(str::to_owned) }
}

fn lists() -> Vec<Vec<JsonOp>> {
    vec![
        vec![
            insert("s", Inserted::Static("k\"\\\n".to_owned())),
            mask(&["ip"], None),
            replace(&[], &["ref"], &[("ua", "user_agent")]),
        ],
        vec![insert("a", Inserted::Topic), insert("t", Inserted::Timestamp)],
        vec![insert("a", Inserted::Partition), insert("b", Inserted::Offset)],
        vec![mask(&["a", "b"], Some("***"))],
        vec![mask(&["a"], Some("7"))],
        vec![replace(&["a", "ip"], &[], &[("a", "b"), ("ip", "a")])],
        vec![replace(&[], &["a", "b", "ip"], &[("s", "a")])],
        vec![JsonOp::Flatten { delimiter: "\"".to_owned() }],
    ]
}

thread_local! {
    static PLANS: RefCell<Vec<Vec<PatchPlan>>> = RefCell::new(
        lists()
            .iter()
            .map(|ops| {
                let plan = |level| PatchPlan::compile_at(ops, level).expect("few names");
                // What came before must not matter, so that a finding can be repeated.
                let at = |level| plan(level).without_shapes();
                Level::available().into_iter().map(at).collect()
            })
            .collect(),
    );
}

fn is_json(document: &[u8]) -> bool {
    let whole = |text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    std::str::from_utf8(document).is_ok_and(whole)
}

/// Edits and text, or the error in full.
fn answer(plan: &mut PatchPlan, buffer: &[u8], end: usize, timestamp: Option<i64>) -> String {
    let arena = Arena::new();
    let meta = RecordMeta { topic: "to\"pic", partition: 3, timestamp, offset: 1 << 40 };
    format!("{:?}", plan.apply(buffer, 0, end, &meta, &arena))
}

fn sought() -> Rc<Sought> {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Rc::new(Sought::new(vec![own(&["a"]), own(&["a", "b"])], own(&["ip", "s"])))
}

/// What a document with a shape tells of its members is what a look through them finds.
fn told(checker: &mut Checker, sought: &Sought, buffer: &[u8], end: usize) {
    let arena = Arena::new();
    let Ok(Some(text)) = checker.text(buffer, 0, end, &arena) else { return };
    let Some(told) = sought.found(&text) else { return };
    let looked = sought.note(&JsonText::verbatim(text.src), &arena).expect("an answer");
    let looked = sought.found(&looked).expect("its own");
    assert!((0..2).all(|at| told.wanted(at) == looked.wanted(at)));
    assert!((0..2).all(|at| told.place(at) == looked.place(at)));
    assert_eq!((told.object.end, told.object.empty), (looked.object.end, looked.object.empty));
}

/// The document is learned; then come documents that differ from it in a byte or two, told by
/// `changes`: a place and what becomes of it. Whatever they are, shapes must not matter.
fn shapes(which: u8, changes: &[u8], document: &[u8]) {
    let lists = lists();
    let ops = &lists[usize::from(which) % lists.len()];
    for level in Level::available() {
        let mut learned = PatchPlan::compile_at(ops, level).expect("few names");
        let mut once = PatchPlan::compile_at(ops, level).expect("few names").without_shapes();
        let mut checker = Checker::at(level);
        let sought = sought();
        let mut seeking = Checker::at(level).seeking(Some(Rc::clone(&sought)));
        // The first time it is learned, the second time where everything stands in it.
        for _ in 0..2 {
            answer(&mut learned, document, document.len(), Some(5));
            let _ = checker.check(document, 0, document.len());
            told(&mut seeking, &sought, document, document.len());
        }
        let mut next = document.to_vec();
        for turn in 0..=changes.len() / 3 {
            let end = next.len();
            let mut buffer = next.clone();
            // Spare bytes in every second turn: the end of the document as it was learned.
            if turn % 2 == 1 {
                buffer.extend_from_slice(&document[end.min(document.len())..]);
                buffer.resize(buffer.len() + 64, b'"');
            }
            let timestamp = (turn % 3 > 0).then_some(5);
            let expected = answer(&mut once, &buffer, end, timestamp);
            assert_eq!(answer(&mut learned, &buffer, end, timestamp), expected, "{level:?}");
            assert_eq!(checker.check(&buffer, 0, end), check_at(level, &buffer, 0, end));
            told(&mut seeking, &sought, &buffer, end);
            let Some([place, how, byte]) = changes[turn * 3..].first_chunk() else { break };
            // From what was learned again, or further.
            if how & 4 == 0 {
                next = document.to_vec();
            }
            let place = usize::from(*place) * (next.len() + 1) / 256;
            match how & 3 {
                0 if place < next.len() => next[place] = *byte,
                1 if place < next.len() => {
                    next.remove(place);
                }
                2 => next.insert(place, *byte),
                _ => next.truncate(place),
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [around, fill, document @ ..] = data else { return };
    // The first bytes tell the changes, the rest is the document that is learned.
    if let Some((changes, rest)) = document.split_at_checked(3 * usize::from(around & 7)) {
        shapes(*fill, changes, rest);
        shapes(*fill, changes, document);
    }
    // What stands before and after must not matter.
    let (before, after) = (usize::from(around & 15), usize::from(around >> 4) * 4);
    let mut buffer = vec![*fill; before];
    buffer.extend_from_slice(document);
    buffer.resize(buffer.len() + after, *fill);
    let (start, end) = (before, before + document.len());

    let mut checked = Level::available().into_iter().map(|at| check_at(at, &buffer, start, end));
    let first = checked.next().expect("a level");
    checked.for_each(|other| assert_eq!(other, first));
    let deep = first.is_err_and(|error| error.what == "nested too deep");
    let empty = first.is_ok_and(|own| own.kind == Kind::Empty);
    if !deep && !empty {
        assert_eq!(first.is_ok(), is_json(document), "{first:?}");
    }
    PLANS.with_borrow_mut(|plans| {
        let arena = Arena::new();
        for (plan, timestamp) in plans.iter_mut().zip([None, Some(5)].into_iter().cycle()) {
            let meta = RecordMeta { topic: "to\"pic", partition: 3, timestamp, offset: 1 << 40 };
            let mut written: Vec<Option<Vec<u8>>> = Vec::new();
            for plan in plan {
                let text = plan.apply(&buffer, start, end, &meta, &arena).ok();
                written.push(text.map(|text| {
                    let mut out = Vec::new();
                    text.write_to(&mut out);
                    assert_eq!(out.len(), text.len());
                    out
                }));
            }
            assert!(written.windows(2).all(|pair| pair[0] == pair[1]), "levels differ");
            if let Some(out) = &written[0] {
                assert!(first.is_ok(), "patched what is not JSON");
                assert!(is_json(out), "{}", String::from_utf8_lossy(out));
            }
        }
    });
});
