//! `java.util.HashMap<byte[], byte[]>` in Java's object serialisation: the format of
//! `offset.storage.file.filename`, so that the JVM's worker and this one can share the file.

/// A map's entries; a value may be null.
pub type Entries = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Everything before the two floats-and-ints of a `HashMap`: magic, version, object, class
/// description with its two fields, no superclass.
const HEAD: &[u8] = b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\
    \x03\x00\x02F\x00\x0aloadFactorI\x00\x09thresholdxp";
/// The description of `byte[]`, after `TC_ARRAY`.
const BYTES_CLASS: &[u8] = b"r\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00xp";
/// A reference to that description: it has the third handle of the stream.
const BYTES_REFERENCE: &[u8] = b"q\x00\x7e\x00\x02";
const FIRST_HANDLE: u32 = 0x7e_0000;

const TC_NULL: u8 = 0x70;
const TC_REFERENCE: u8 = 0x71;
const TC_ARRAY: u8 = 0x75;
const TC_BLOCKDATA_8: &[u8] = &[0x77, 8];
const TC_ENDBLOCKDATA: u8 = 0x78;

/// The bytes that `ObjectOutputStream` writes for a `HashMap` with these entries in this order.
pub fn write(entries: &Entries) -> Vec<u8> {
    let mut buckets = 16_u32;
    while entries.len() as u64 * 4 > u64::from(buckets) * 3 {
        buckets *= 2;
    }
    let threshold = if entries.is_empty() { 0 } else { buckets / 4 * 3 };
    let mut out = HEAD.to_vec();
    out.extend_from_slice(&0.75_f32.to_be_bytes());
    out.extend_from_slice(&threshold.to_be_bytes());
    out.extend_from_slice(TC_BLOCKDATA_8);
    out.extend_from_slice(&buckets.to_be_bytes());
    out.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    let mut class = BYTES_CLASS;
    let sides = entries.iter().flat_map(|(key, value)| [Some(key), value.as_ref()]);
    for side in sides {
        let Some(bytes) = side else {
            out.push(TC_NULL);
            continue;
        };
        out.push(TC_ARRAY);
        out.extend_from_slice(class);
        class = BYTES_REFERENCE;
        out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        out.extend_from_slice(bytes);
    }
    out.push(TC_ENDBLOCKDATA);
    out
}

/// Reads what [`write`] or a JVM wrote. Entries with a null key are dropped.
pub fn read(bytes: &[u8]) -> Result<Entries, String> {
    let mut input = Input { bytes, at: 0, arrays: Vec::new(), next_handle: FIRST_HANDLE + 2 };
    if !bytes.starts_with(HEAD) {
        return Err("not a serialised java.util.HashMap".to_owned());
    }
    input.at = HEAD.len() + 8;
    if input.take(2)? != TC_BLOCKDATA_8 {
        return Err("no bucket count where one is due".to_owned());
    }
    input.int()?;
    let size = input.int()?;
    let mut entries = Entries::new();
    for _ in 0..size {
        let key = input.byte_array()?;
        let value = input.byte_array()?;
        entries.extend(key.map(|key| (key, value)));
    }
    Ok(entries)
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Arrays seen, by handle, for references to them.
    arrays: Vec<(u32, &'a [u8])>,
    next_handle: u32,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("the file ends within byte {}", self.at))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn int(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn handle(&mut self) -> u32 {
        self.next_handle += 1;
        self.next_handle - 1
    }

    fn byte_array(&mut self) -> Result<Option<Vec<u8>>, String> {
        let at = self.at;
        match self.take(1)?[0] {
            TC_NULL => Ok(None),
            TC_REFERENCE => {
                let handle = self.int()?;
                let found = self.arrays.iter().find(|(known, _)| *known == handle);
                let (_, bytes) = found.ok_or_else(|| format!("a dangling reference at {at}"))?;
                Ok(Some(bytes.to_vec()))
            }
            TC_ARRAY => {
                if self.bytes[self.at..].starts_with(BYTES_CLASS) {
                    self.at += BYTES_CLASS.len();
                    self.handle();
                } else if self.take(BYTES_REFERENCE.len())? != BYTES_REFERENCE {
                    return Err(format!("something else than byte[] at {at}"));
                }
                let handle = self.handle();
                let length = self.int()? as usize;
                let bytes = self.take(length)?;
                self.arrays.push((handle, bytes));
                Ok(Some(bytes.to_vec()))
            }
            other => Err(format!("token {other:#04x} at {at} where a byte[] is due")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by Java 17: `new ObjectOutputStream(…).writeObject(new HashMap<byte[], byte[]>())`.
    const EMPTY: &str = "aced0005737200116a6176612e7574696c2e486173684d61700507dac1c31660d103000246\
        000a6c6f6164466163746f724900097468726573686f6c6478703f4000000000000077080000001000000000\
        78";
    /// The same with three entries, one of them with a null value.
    const THREE: &str = "aced0005737200116a6176612e7574696c2e486173684d61700507dac1c31660d103000246\
        000a6c6f6164466163746f724900097468726573686f6c6478703f4000000000000c7708000000100000000375\
        7200025b42acf317f8060854e00200007870\
        0000000d5b2263222c7b2270223a317d5d7571007e0002000000077b226f223a317d\
        7571007e00020000000d5b2263222c7b2270223a327d5d70\
        7571007e00020000000d5b2263222c7b2270223a307d5d7571007e0002000000077b226f223a307d78";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }

    fn bytes(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    #[test]
    fn javas_bytes_are_read_and_written() {
        assert_eq!(read(&hex(EMPTY)).unwrap(), Entries::new());
        assert_eq!(write(&Entries::new()), hex(EMPTY));
        let entries = vec![
            (bytes(r#"["c",{"p":1}]"#), Some(bytes(r#"{"o":1}"#))),
            (bytes(r#"["c",{"p":2}]"#), None),
            (bytes(r#"["c",{"p":0}]"#), Some(bytes(r#"{"o":0}"#))),
        ];
        assert_eq!(read(&hex(THREE)).unwrap(), entries);
        assert_eq!(write(&entries), hex(THREE));
    }

    #[test]
    fn a_repeated_array_comes_as_a_reference() {
        let mut file = write(&vec![(bytes("k"), None)]);
        let end = file.len() - 2;
        // The fourth handle: class, map, byte[]'s class, then the key.
        file.splice(end..end + 1, *b"q\x00\x7e\x00\x03");
        assert_eq!(read(&file).unwrap(), [(bytes("k"), Some(bytes("k")))]);
    }

    proptest::proptest! {
        #[test]
        fn what_was_written_is_read(
            entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        ) {
            proptest::prop_assert_eq!(read(&write(&entries)).unwrap(), entries);
        }

        #[test]
        fn cut_and_damaged_files_are_refused_without_panic(
            entries: Vec<(Vec<u8>, Option<Vec<u8>>)>, cut: usize, at: usize, byte: u8,
        ) {
            let mut file = write(&entries);
            let length = file.len();
            file[at % length] = byte;
            file.truncate(cut % (length + 1));
            let _ = read(&file);
        }
    }
}
