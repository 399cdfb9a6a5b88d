//! The memory budget with many open files.

use super::*;

#[test]
fn many_open_files_with_compressors_stay_within_the_budget() {
    on_a_core(|| async {
        let budget = 16 << 20;
        let settings = Settings { compression: Compression::Gzip(1), ..a_file_each(budget) };
        let mut rig = Rig::new(settings, false);
        // 300 files at a time, each with a compressor and with bytes that wait for it: 100 MB and
        // more without the budget.
        let filler = "x".repeat(40 << 10);
        let texts: Vec<String> =
            (0..300).map(|n| format!("{{\"c\":{n},\"f\":\"{filler}\"}}")).collect();
        let mut offset = 0;
        for _ in 0..4 {
            for text in &texts {
                let text = JsonText::verbatim(text.as_bytes());
                rig.sink.put(&[record(Value::Json(&text), 0, offset, 0)]).await.unwrap();
                offset += 1;
                let used = rig.sink.memory_in_use();
                assert!(used <= budget, "{used} bytes are in use");
            }
        }
        rig.sink.finish().await.unwrap();
        assert_eq!(rig.durable(offset), Some(1_200));
        assert!(rig.store.keys().len() >= 300);
    });
}

#[test]
fn buffers_that_are_kept_for_later_count() {
    on_a_core(|| async {
        let budget = 24 << 20;
        let settings = Settings { part_bytes: 10 << 20, ..a_file_each(budget) };
        let mut rig = Rig::new(settings, false);
        let filler = "x".repeat(100 << 10);
        let mut offset = 0;
        // Two parts of one file are under way at a time and leave two full buffers behind; then many
        // files open that need small ones.
        rig.store.stuck.set(true);
        for n in (0..310).map(|n| if n < 210 { 0 } else { n }) {
            if n > 0 {
                rig.store.stuck.set(false);
            }
            while n > 0 && rig.store.parts.get() < 2 {
                rt::sleep(Duration::from_millis(1)).await;
            }
            let text = format!("{{\"c\":{n},\"f\":\"{filler}\"}}");
            let text = JsonText::verbatim(text.as_bytes());
            rig.sink.put(&[record(Value::Json(&text), 0, offset, 0)]).await.unwrap();
            offset += 1;
            let used = rig.sink.memory_in_use();
            assert!(used <= budget + (1 << 20), "{used} bytes are in use, file {n}");
        }
        rig.sink.finish().await.unwrap();
        assert_eq!(rig.durable(offset), Some(offset));
    });
}
