//! The exchanges' messages, and JAAS entries.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::jaas::Jaas;
use super::*;
use crate::config::ClientConfig;
use crate::error::ErrorKind;
use crate::test_rig::on_core;

#[test]
fn scram_sha_256_makes_the_messages_of_rfc_7677() {
    on_core(|| async {
        let mut scram = Scram::with_nonce(
            ScramHash::Sha256,
            "user",
            Secret("pencil".to_owned()),
            false,
            "rOprNGfwEbeRWgbNEkqO".to_owned(),
        );
        assert_eq!(scram.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                          s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proof = scram.next(challenge).await.unwrap().unwrap();
        assert_eq!(
            String::from_utf8(proof).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let server = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(scram.next(server).await, Ok(None));
    });
}

#[test]
fn a_broker_that_does_not_know_the_password_is_refused() {
    on_core(|| async {
        let new = || {
            let secret = Secret("pencil".to_owned());
            Scram::with_nonce(ScramHash::Sha512, "a,b=c", secret, true, "abc".to_owned())
        };
        assert_eq!(new().first(), b"n,,n=a=2Cb=3Dc,r=abc,tokenauth=true");
        let mut scram = new();
        scram.next(b"r=abcd,s=c2FsdA==,i=4096").await.unwrap().unwrap();
        assert_eq!(scram.next(b"v=AAAA").await.unwrap_err().kind, ErrorKind::Fatal);
        for challenge in [
            &b"r=xyz,s=c2FsdA==,i=4096"[..],
            b"r=abc,s=c2FsdA==,i=4096",
            b"r=abcd,s=c2FsdA==,i=1",
            b"r=abcd,s=c2FsdA==,i=4000000000",
            b"r=abcd,i=4096",
            b"\xff",
            b"",
        ] {
            assert!(new().next(challenge).await.is_err(), "{challenge:?}");
        }
        let told = new().next(b"e=invalid-proof").await.unwrap_err();
        assert_eq!((told.code, told.message.as_str()), (58, "invalid-proof"));
    });
}

#[test]
fn jaas_entries_are_read_as_java_reads_them() {
    let entry = "com.example.Module  required\n user=\"a b\" password='x;\"y' n = plain \
                 quoted=\"q\\\"q\\\\\" ;";
    let jaas = Jaas::parse(entry).unwrap();
    assert_eq!(jaas.module, "com.example.Module");
    let option = |name| jaas.get(name).unwrap();
    assert_eq!(option("user"), "a b");
    assert_eq!(option("password"), "x;\"y");
    assert_eq!(option("n"), "plain");
    assert_eq!(option("quoted"), "q\"q\\");
    assert!(!format!("{jaas:?}").contains("x;"), "values are not printed");
    for wrong in [
        "",
        "Module",
        "Module username=\"a\";",
        "Module required username=\"a\"",
        "Module required username=\"a;",
        "Module required username;",
        "Module required username=;",
        "Module required; Other required;",
    ] {
        assert!(Jaas::parse(wrong).is_err(), "{wrong}");
    }
}

fn problems(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut map = BTreeMap::from([("bootstrap.servers".to_owned(), "h:1".to_owned())]);
    map.extend(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    let found = ClientConfig::parse(&map).err().unwrap_or_default();
    found
        .into_iter()
        .map(|problem| (problem.key, format!("{} {}", problem.value, problem.why)))
        .collect()
}

#[test]
fn mistakes_name_the_key_and_never_a_password() {
    let jaas = |entry: &str, mechanism: &str| {
        problems(&[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", mechanism),
            ("sasl.jaas.config", entry),
        ])
    };
    let plain = format!("{PLAIN} required username=\"u\" password=\"hush\";");
    assert!(jaas(&plain, "PLAIN").is_empty());
    for (entry, mechanism, key, words) in [
        (plain.as_str(), "SCRAM-SHA-256", "sasl.jaas.config", "ScramLoginModule"),
        (plain.trim_end_matches(';'), "PLAIN", "sasl.jaas.config", "; at the end"),
        (&plain.replace("username", "user"), "PLAIN", "sasl.jaas.config", "username is missing"),
        ("", "PLAIN", "sasl.jaas.config", "is needed"),
        (&plain, "GSSAPI", "sasl.mechanism", "Kerberos"),
        (&plain, "AWS_MSK_IAM", "sasl.mechanism", "set one of PLAIN"),
    ] {
        let found = jaas(entry, mechanism);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, key);
        assert!(found[0].1.contains(words), "{found:?}");
        assert!(!found[0].1.contains("hush"), "{found:?}");
    }
    let found = problems(&[("security.protocol", "SASL_PLAINTEXT")]);
    assert_eq!(found[0].0, "sasl.mechanism", "Java's default is Kerberos: {found:?}");
    let found = problems(&[
        ("security.protocol", "SSL"),
        ("ssl.truststore.location", "/absent/trust.jks"),
        ("ssl.endpoint.identification.algorithm", "ldap"),
        ("ssl.enabled.protocols", "TLSv1.1"),
        ("ssl.cipher.suites", "TLS_NONE"),
        ("ssl.truststore.type", "BKS"),
        ("ssl.engine.factory.class", "com.example.Engine"),
    ]);
    let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "ssl.engine.factory.class",
            "ssl.endpoint.identification.algorithm",
            "ssl.enabled.protocols",
            "ssl.cipher.suites",
            "ssl.truststore.type",
            "ssl.truststore.location",
        ],
        "{found:?}"
    );
}

#[test]
fn no_secret_is_printed() {
    let map = BTreeMap::from(
        [
            ("bootstrap.servers", "h:1"),
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.jaas.config", &format!("{SCRAM} required username=u password=hush;")),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let config = ClientConfig::parse(&map).unwrap().config;
    let printed = format!("{config:?}");
    assert!(printed.contains("[hidden]") && !printed.contains("hush"), "{printed}");
}

proptest! {
    #[test]
    fn no_entry_panics(text in "[a-z=;\"'\\\\ ]{0,40}") {
        let _ = Jaas::parse(&text);
    }
}
