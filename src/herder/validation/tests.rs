//! Answers of `/config/validate`, against what Kafka Connect 4.1 gives to the same questions.

use super::*;
use crate::rig::plugins;

fn validator(more: &[(&str, &str)]) -> Validator {
    let mut file = config(&[
        ("bootstrap.servers", "localhost:9092"),
        ("key.converter", "TextConverter"),
        ("value.converter", "TextConverter"),
        ("offset.storage.file.filename", "/tmp/x"),
    ]);
    file.extend(config(more));
    Validator::new(WorkerConfig::standalone(file, &plugins()).unwrap(), Arc::new(plugins()))
}

fn config(pairs: &[(&str, &str)]) -> Config {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The errors by key.
fn errors(pairs: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
    let infos = validator(&[]).validate(&config(pairs)).unwrap();
    let wrong = infos.configs.into_iter().filter(|info| !info.value.errors.is_empty());
    wrong.map(|info| (info.value.name, info.value.errors)).collect()
}

fn expect(pairs: &[(&str, &str)], expected: &[(&str, &[&str])]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(key, errors)| {
            ((*key).to_owned(), errors.iter().map(|&error| error.to_owned()).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(errors(pairs), expected);
}

const SOURCE: [(&str, &str); 3] =
    [("name", "a"), ("connector.class", "TextSource"), ("topic", "t")];

#[test]
fn keys_groups_and_order_of_a_source() {
    let given = [("transforms", "r"), ("transforms.r.type", "test.Router")];
    let given = [&SOURCE[..], &given].concat();
    let infos = validator(&[]).validate(&config(&given)).unwrap();
    assert_eq!(infos.name, "TextSource");
    assert_eq!(
        infos.groups,
        [
            "Common",
            "Transforms",
            "Predicates",
            "Error Handling",
            "Topic Creation",
            "Exactly Once Support",
            "offsets.topic",
            "Transforms: r"
        ]
    );
    let names: Vec<_> = infos.configs.iter().map(|info| info.value.name.as_str()).collect();
    assert_eq!(
        names[19..],
        [
            "topic.creation.groups",
            "exactly.once.support",
            "transaction.boundary",
            "transaction.boundary.interval.ms",
            "offsets.storage.topic",
            "transforms.r.type",
            "transforms.r.plugin.version",
            "transforms.r.regex",
            "transforms.r.replacement",
            "transforms.r.negate",
            "transforms.r.predicate",
            "file",
            "topic",
            "secret"
        ]
    );
    let key = |name: &str| {
        infos
            .configs
            .iter()
            .find(|info| info.value.name == name)
            .unwrap()
            .definition
            .clone()
            .unwrap()
    };
    assert_eq!(key("transforms.r.type").display_name, "Transformation type for r");
    assert_eq!(key("transforms.r.regex").display_name, "regex");
    assert_eq!(key("transforms.r.regex").order, 2);
    assert_eq!(key("file").display_name, "file");
    assert_eq!(key("file").order, -1);
    assert_eq!(key("key.converter").default_value.as_deref(), Some("TextConverter"));
    assert_eq!(infos.error_count, 1);
}

#[test]
fn one_bad_value_may_count_twice() {
    let given = [&SOURCE[..], &[("tasks.max", "abc"), ("errors.tolerance", "some")]].concat();
    expect(
        &given,
        &[
            (
                "tasks.max",
                &[
                    "Invalid value abc for configuration tasks.max: Not a number of type INT",
                    "Invalid value null for configuration tasks.max: Value must be non-null",
                ],
            ),
            (
                "errors.tolerance",
                &["Invalid value some for configuration errors.tolerance: String must be one of: \
                   none, all"],
            ),
        ],
    );
}

#[test]
fn transforms_predicates_and_converters() {
    let given = [
        ("transforms", "x,z"),
        ("transforms.x.type", "Nah"),
        ("transforms.z.type", "test.Router"),
        ("transforms.z.regex", "a"),
        ("transforms.z.negate", "true"),
        ("key.converter", "TextConverter"),
        ("key.converter.schemas.enable", "maybe"),
        ("value.converter", "nope"),
    ];
    expect(
        &[&SOURCE[..], &given].concat(),
        &[
            (
                "value.converter",
                &["Invalid value nope for configuration value.converter: Class nope could not be \
                   found."],
            ),
            (
                "transforms.x.type",
                &["Invalid value Nah for configuration transforms.x.type: Class Nah could not be \
                   found."],
            ),
            (
                "transforms.z.type",
                &["Config 'transforms.z.negate' was provided but there is no config \
                   'transforms.z.predicate' defining a predicate to be negated."],
            ),
            (
                "key.converter.schemas.enable",
                &["Invalid value maybe for configuration schemas.enable: Expected value to be \
                   either true or false"],
            ),
        ],
    );
    let given =
        [("transforms", "a,a"), ("transforms.a.type", "Router"), ("transforms.a.regex", "")];
    expect(
        &[&SOURCE[..], &given].concat(),
        &[(
            "transforms",
            &["Invalid value [a, a] for configuration transforms: Duplicate alias \
                            provided."],
        )],
    );
}

#[test]
fn topics_of_a_sink() {
    const SINK: [(&str, &str); 2] = [("name", "a"), ("connector.class", "test.TextSinkConnector")];
    let neither = "Must configure one of topics or topics.regex";
    expect(&SINK, &[("topics", &[neither]), ("topics.regex", &[neither])]);
    let both = "topics and topics.regex are mutually exclusive options, but both are set.";
    expect(
        &[&SINK[..], &[("topics", "a"), ("topics.regex", "a.*")]].concat(),
        &[("topics", &[both]), ("topics.regex", &[both])],
    );
    expect(
        &[&SINK[..], &[("topics", "a,b"), ("errors.deadletterqueue.topic.name", "a")]].concat(),
        &[(
            "topics",
            &["The DLQ topic 'a' may not be included in the list of topics ('topics=[a, b]') \
               consumed by the connector"],
        )],
    );
    expect(&[&SINK[..], &[("topics", "a")]].concat(), &[]);
}

#[test]
fn secrets_are_hidden_and_policies_kept() {
    let given = [("secret", "x"), ("producer.override.acks", "1")];
    let given = config(&[&SOURCE[..], &given].concat());
    let policy = ("connector.client.config.override.policy", "None");
    let infos = validator(&[policy]).validate(&given).unwrap();
    let value = |name: &str| infos.configs.iter().find(|info| info.value.name == name).unwrap();
    assert_eq!(value("secret").value.value.as_deref(), Some("[hidden]"));
    assert_eq!(
        value("producer.override.acks").value.errors,
        ["The 'None' policy does not allow 'acks' to be overridden in the connector \
             configuration."]
    );
    assert_eq!(validator(&[]).validate(&given).unwrap().error_count, 0);
}

#[test]
fn the_class_must_be_there_known_and_that_of_the_path() {
    let validator = validator(&[]);
    let message = |config: &Config| validator.validate(config).unwrap_err().message;
    assert_eq!(
        message(&config(&[("name", "a"), ("topic", "x")])),
        "Connector config {name=a, topic=x} contains no connector type"
    );
    assert!(message(&config(&[("connector.class", "Nope")])).starts_with(
        "Failed to find any class that implements Connector and which name matches \
                          Nope, available connectors are: "
    ));
    let refused = validator.validate_for("TextSink", &config(&SOURCE).into()).unwrap_err();
    assert_eq!(
        refused.message,
        "Included connector type TextSource does not match request type TextSink"
    );
    assert!(validator.validate_for("TextSourceConnector", &config(&SOURCE).into()).is_ok());
}

#[test]
fn topic_creation_asks_for_the_default_groups_numbers() {
    let given = [&SOURCE[..], &[("topic.creation.groups", "g"), ("topic.creation.g.include", "(")]];
    let wrong: Vec<_> = errors(&given.concat()).into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        wrong,
        [
            "topic.creation.default.replication.factor",
            "topic.creation.default.partitions",
            "topic.creation.g.include"
        ]
    );
}

#[test]
fn a_null_value_is_an_error_of_its_key() {
    let submitted = Submitted {
        config: config(&SOURCE),
        nulls: vec!["tasks.max".to_owned(), "unknown.key".to_owned()],
    };
    let null = "Null value can not be supplied as the configuration value.";
    let infos = validator(&[]).validate_for("TextSource", &submitted).unwrap();
    let (first, tasks) =
        (&infos.configs[0], infos.configs.iter().find(|info| info.value.name == "tasks.max"));
    let tasks = tasks.unwrap();
    assert_eq!((first.value.name.as_str(), &first.definition), ("unknown.key", &None));
    assert_eq!(first.value.errors, [null]);
    assert_eq!(
        (tasks.value.value.as_deref(), &tasks.value.errors[..]),
        (None, &[null.to_owned()][..])
    );
    assert_eq!(infos.error_count, 2);
    let refused = validator(&[]).definition("a", submitted).unwrap_err();
    assert_eq!(refused.status, crate::requests::ErrorStatus::BadRequest);
    assert!(refused.message.contains("2 error(s)"), "{refused}");
}
