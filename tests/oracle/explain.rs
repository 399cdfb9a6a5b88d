//! `millrace transform --explain`: how a configuration runs, in words.

use crate::rig::worker::binary;

const CLASSES: &str = "org.apache.kafka.connect.transforms";

fn explained(lines: &[String], arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let connector = dir.path().join("connector.properties");
    std::fs::write(&connector, lines.join("\n")).expect("a file");
    let mut command = std::process::Command::new(binary());
    command.arg("transform").arg(&connector).arg("--explain").args(arguments);
    let output = command.output().expect("our binary");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_plan_is_told_for_typed_values_and_for_text() {
    let lines = [
        "value.converter=org.apache.kafka.connect.json.JsonConverter".to_owned(),
        "value.converter.schemas.enable=false".to_owned(),
        "key.converter=org.apache.kafka.connect.storage.StringConverter".to_owned(),
        "transforms=mask,route,flat".to_owned(),
        format!("transforms.mask.type={CLASSES}.MaskField$Value"),
        "transforms.mask.fields=ip".to_owned(),
        format!("transforms.route.type={CLASSES}.RegexRouter"),
        "transforms.route.regex=a".to_owned(),
        "transforms.route.replacement=b".to_owned(),
        "transforms.route.predicate=gone".to_owned(),
        "transforms.route.negate=true".to_owned(),
        format!("transforms.flat.type={CLASSES}.HoistField$Value"),
        "transforms.flat.field=all".to_owned(),
        "predicates=gone".to_owned(),
        format!("predicates.gone.type={CLASSES}.predicates.RecordIsTombstone"),
    ];
    let text = explained(&lines, &["--text"]);
    assert!(text.starts_with("for a sink that takes JSON text:\n  key: "), "{text}");
    let both = explained(&lines, &[]);
    let (typed, json) = both.split_once("for a sink that takes JSON text:\n").expect("two plans");
    assert!(typed.contains("value: converter, typed values"), "{both}");
    assert!(typed.contains(&format!("  then mask, {CLASSES}.MaskField$Value\n")), "{both}");
    assert!(json.contains("value: JSON text, checked and patched in one pass"), "{both}");
    assert!(json.contains(&format!("  within the patch: mask, {CLASSES}.MaskField$Value\n")));
    let router = format!("then route, {CLASSES}.RegexRouter if not {CLASSES}.predicates.Record");
    assert!(json.contains(&router), "{both}");
    assert!(text.ends_with(json), "one plan is told the same with --text");
    // What is taken of a masked member is taken behind the mask: what follows is a pass of its own.
    let lines: Vec<String> = lines[..3]
        .iter()
        .cloned()
        .chain(["transforms=mask,key,flat".to_owned()])
        .chain(lines[4..6].iter().cloned())
        .chain(lines[11..13].iter().cloned())
        .chain([
            format!("transforms.key.type={CLASSES}.ValueToKey"),
            "transforms.key.fields=ip".to_owned(),
        ])
        .collect();
    let told = explained(&lines, &["--text"]);
    let expected = format!(
        "  within the patch: mask, {CLASSES}.MaskField$Value\n  then key, {CLASSES}.ValueToKey\n  \
         then, as a patch of text: flat, {CLASSES}.HoistField$Value\n"
    );
    assert!(told.ends_with(&expected), "{told}");
}
