//! Records whose topic a transform renamed: their files' names, and whose offsets they move.

use super::*;

fn named<'a>(topic: &'a str, value: Value<'a>, partition: i32, offset: i64) -> Record<'a> {
    Record { topic, ..record(value, partition, offset, 0) }
}

#[test]
fn files_bear_the_new_name_and_offsets_the_old_one() {
    on_a_core(|| async {
        let mut rig = Rig::new(base(), false);
        let names = ["x", "x", "y", "t", "x", "y", "t"];
        let records: Vec<_> =
            (0..).zip(names).map(|(n, name)| named(name, Value::Int64(n), 0, n)).collect();
        rig.sink.put(&records).await.unwrap();
        // Files of one partition are completed together: three records, whatever they are called.
        rig.until(7, 6).await;
        let expected = [
            ("topics/t/partition=0/t+0+0000000003.json", "3\n"),
            ("topics/x/partition=0/x+0+0000000000.json", "0\n1\n"),
            ("topics/x/partition=0/x+0+0000000004.json", "4\n"),
            ("topics/y/partition=0/y+0+0000000002.json", "2\n"),
            ("topics/y/partition=0/y+0+0000000005.json", "5\n"),
        ];
        assert_eq!(rig.store.keys(), expected.map(|(key, _)| key));
        expected.iter().for_each(|(key, text)| assert_eq!(rig.store.text(key), *text));
        // The task starts again where it committed: the same names.
        rig.sink.close(&[at(0), at(1)]).await;
        rig.sink.open(&Offsets::from([(at(0), 3)]));
        rig.sink.put(&records[3..]).await.unwrap();
        rig.sink.finish().await.unwrap();
        let mut keys = expected.map(|(key, _)| key.to_owned()).to_vec();
        keys.insert(1, "topics/t/partition=0/t+0+0000000006.json".to_owned());
        assert_eq!(rig.store.keys(), keys);
        assert_eq!(rig.durable(7), Some(7));
    });
}

#[test]
fn folders_of_two_names_are_kept_apart() {
    on_a_core(|| async {
        let partitioner =
            Partitioner::Field { fields: vec![FieldPath::new("c")], delim: "/".to_owned() };
        let rotation = Rotation { flush_size: Some(100), ..Rotation::default() };
        let mut rig = Rig::new(Settings { partitioner, rotation, ..base() }, false);
        let text = JsonText::verbatim(b"{\"c\":1}");
        let records: Vec<_> =
            (0..6).map(|n| named(["x", "t"][n as usize % 2], Value::Json(&text), 0, n)).collect();
        rig.sink.put(&records).await.unwrap();
        rig.sink.finish().await.unwrap();
        assert_eq!(
            rig.store.keys(),
            ["topics/t/c=1/t+0+0000000001.json", "topics/x/c=1/x+0+0000000000.json"]
        );
        assert_eq!(rig.store.text("topics/x/c=1/x+0+0000000000.json").lines().count(), 3);
    });
}

#[test]
fn two_topics_of_one_name_are_refused() {
    on_a_core(|| async {
        let mut rig = Rig::new(base(), false);
        let other = TopicPartition::new("u", 0);
        rig.sink.open(&Offsets::from([(other.clone(), 0)]));
        rig.sink.put(&[named("all", Value::Int64(1), 0, 0)]).await.unwrap();
        let mut of_other = named("all", Value::Int64(2), 0, 0);
        if let Origin::Sink { topic, .. } = &mut of_other.origin {
            *topic = "u";
        }
        let error = rig.sink.put(&[of_other]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fatal);
        assert!(error.message.contains("topics t and u both come as all-0"), "{}", error.message);
        // The name is free when its partition is gone.
        rig.sink.close(&[at(0)]).await;
        rig.sink.put(&[of_other]).await.unwrap();
    });
}

#[test]
fn a_null_value_that_may_not_be_is_named() {
    on_a_core(|| async {
        let mut rig = Rig::new(base(), false);
        let error = rig.sink.put(&[record(Value::Null, 1, 7, 0)]).await.unwrap_err();
        assert!(error.message.contains("t-1 at offset 7"), "{}", error.message);
        assert!(error.message.contains("behavior.on.null.values"), "{}", error.message);
    });
}
