//! Stores written by Java's `keytool` and by `openssl`, which these tests need.

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn run(folder: &Path, command: &str) {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap())
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(output.status.success(), "{command}: {output:?}");
}

/// An authority, and a key signed by it, both in PEM.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run(
        folder.path(),
        &format!("openssl req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"),
    );
    run(
        folder.path(),
        &format!(
            "openssl req -x509 {key} -keyout me.key -out me.pem -days 2 -subj /CN=me \
             -addext basicConstraints=critical,CA:FALSE -CA ca.pem -CAkey ca.key"
        ),
    );
    folder
}

fn text(folder: &Path, name: &str) -> String {
    on_lines(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

/// The store's identity must be the files' one, its first certificate ours.
fn assert_identity(folder: &Path, path: &PathBuf, store: &str, key: &str) {
    let open = open(path, Some(store)).expect("the store opens");
    let (chain, private) = open.identity(Some(key)).unwrap();
    assert!(chain.starts_with(&text(folder, "me.pem")), "{path:?}: our certificate comes first");
    assert!(chain.ends_with(&text(folder, "ca.pem")), "{path:?}: the authority comes last");
    assert_eq!(private, text(folder, "me.key"), "{path:?}");
}

#[test]
fn keystores_of_java_and_openssl_give_chain_and_key() {
    let folder = folder();
    let path = folder.path();
    let export = "openssl pkcs12 -export -inkey me.key -in me.pem -certfile ca.pem -name me";
    for (name, more) in [
        ("modern.p12", ""),
        ("sha1.p12", " -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1"),
        ("des2.p12", " -keypbe PBE-SHA1-2DES -certpbe AES-128-CBC -macalg sha512"),
        ("open.p12", " -keypbe NONE -certpbe NONE"),
    ] {
        run(path, &format!("{export} -out {name} -passout pass:s3cret{more}"));
        assert_identity(path, &path.join(name), "s3cret", "s3cret");
        if !name.starts_with("open") {
            let wrong = open(&path.join(name), Some("wrong")).err();
            assert!(matches!(wrong, Some(Refused::Password(_))), "{name}: {wrong:?}");
        }
    }
    // What keytool makes of it, with a password of the key's own where the format knows that.
    let import = "keytool -importkeystore -srckeystore modern.p12 -srcstorepass s3cret -alias me \
                  -deststorepass changeit";
    run(path, &format!("{import} -destkeystore java.p12 -deststoretype PKCS12"));
    assert_identity(path, &path.join("java.p12"), "changeit", "changeit");
    run(path, &format!("{import} -destkeystore java.jks -deststoretype JKS -destkeypass keypass"));
    assert_identity(path, &path.join("java.jks"), "changeit", "keypass");
    let jks = open(&path.join("java.jks"), Some("changeit")).ok().unwrap();
    assert!(jks.identity(Some("changeit")).unwrap_err().contains("ssl.key.password"));
    let wrong = open(&path.join("java.jks"), Some("other")).err();
    assert!(matches!(wrong, Some(Refused::Password(_))), "{wrong:?}");
}

#[test]
fn truststores_give_their_certificates() {
    let folder = folder();
    let path = folder.path();
    for (name, kind, more) in [
        ("trust.jks", "JKS", ""),
        ("trust.p12", "PKCS12", ""),
        // As Java 8 wrote them: RC2 with 40 bits.
        ("old.p12", "PKCS12", " -J-Dkeystore.pkcs12.legacy"),
    ] {
        run(
            path,
            &format!(
                "keytool -importcert -noprompt -file ca.pem -alias ca -keystore {name} \
                 -storetype {kind} -storepass changeit{more}"
            ),
        );
        let store = open(&path.join(name), Some("changeit")).expect(name);
        assert_eq!(store.trusted, text(path, "ca.pem"), "{name}");
        assert!(store.identity(None).unwrap_err().contains("no private key"));
    }
    // As Java does without a password.
    assert!(open(&path.join("trust.jks"), None).is_ok());
    let pem = open(&path.join("ca.pem"), None).err().unwrap();
    assert_eq!(pem, Refused::File("it is PEM: set the store's type to PEM".to_owned()));
    assert!(matches!(open(&path.join("absent"), None), Err(Refused::File(_))));
}

#[test]
fn encrypted_pem_keys_are_opened_and_blocks_on_one_line_are_read() {
    let folder = folder();
    let path = folder.path();
    for (cipher, name) in [("aes-256-cbc", "a.key"), ("aes-128-cbc", "b.key"), ("des3", "c.key")] {
        run(
            path,
            &format!("openssl pkcs8 -topk8 -in me.key -out {name} -passout pass:pw -v2 {cipher}"),
        );
        let encrypted = std::fs::read_to_string(path.join(name)).unwrap();
        assert_eq!(decrypted(&encrypted, Some("pw")).unwrap(), text(path, "me.key"));
        assert_eq!(
            decrypted(&encrypted, Some("no")).unwrap_err(),
            "the password does not open the private key"
        );
        assert!(decrypted(&encrypted, None).unwrap_err().contains("ssl.key.password"));
    }
    let plain = std::fs::read_to_string(path.join("me.key")).unwrap();
    assert_eq!(decrypted(&plain.replace('\n', " "), None).unwrap(), text(path, "me.key"));
    assert!(decrypted("-----BEGIN", None).is_err());
    assert!(on_lines("no PEM").is_err());
}

proptest! {
    #[test]
    fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), first in 0..2) {
        let mut bytes = bytes;
        bytes.insert(0, [0x30, 0xfe][first as usize]);
        let _ = pkcs12::open(&bytes, "x");
        let _ = jks::open(&bytes, None);
        let _ = pkcs12::private_key(&bytes, "x");
        let _ = jks::private_key(&bytes, "x");
    }
}
