//! The security settings that MirrorMaker 2 defines for its connectors, as `MirrorClientConfig` has
//! them. Behind `source.cluster.` and `target.cluster.` these, and no others, reach the clients.

use millrace_api::config_def::{ConfigKey, DefaultValue, Importance, Type, Validator};

use DefaultValue::{Null, Of};
use Importance::{High, Low, Medium};

const NONE: Validator = Validator::None;

type Row = (&'static str, Type, DefaultValue, Importance, Validator);

/// Their keys; the clients explain them.
pub fn keys() -> impl Iterator<Item = ConfigKey> {
    ROWS.iter().map(|(name, type_, default, importance, validator)| {
        let documentation = "As of Kafka's clients.";
        ConfigKey::new(*name, *type_, *default, *importance, documentation).check(*validator)
    })
}

/// Whether a client of a cluster gets this setting from `source.cluster.` or `target.cluster.`.
pub fn is_of_a_cluster(key: &str) -> bool {
    matches!(key, "bootstrap.servers" | "security.protocol")
        || ROWS.iter().any(|(name, ..)| *name == key)
}

fn within(text: &str, least: f64, most: f64) -> Result<(), String> {
    match text.parse::<f64>() {
        Ok(number) if number < least => Err(format!("Value must be at least {least:?}")),
        Ok(number) if number > most => Err(format!("Value must be no more than {most:?}")),
        _ => Ok(()),
    }
}

fn half_to_one(text: &str) -> Result<(), String> {
    within(text, 0.5, 1.0)
}

fn up_to_a_quarter(text: &str) -> Result<(), String> {
    within(text, 0.0, 0.25)
}

const ROWS: &[Row] = &[
    ("ssl.protocol", Type::String, Of("TLSv1.3"), Medium, NONE),
    ("ssl.provider", Type::String, Null, Medium, NONE),
    ("ssl.cipher.suites", Type::List, Null, Low, NONE),
    ("ssl.enabled.protocols", Type::List, Of("TLSv1.2,TLSv1.3"), Medium, NONE),
    ("ssl.keystore.type", Type::String, Of("JKS"), Medium, NONE),
    ("ssl.keystore.location", Type::String, Null, High, NONE),
    ("ssl.keystore.password", Type::Password, Null, High, NONE),
    ("ssl.key.password", Type::Password, Null, High, NONE),
    ("ssl.keystore.key", Type::Password, Null, High, NONE),
    ("ssl.keystore.certificate.chain", Type::Password, Null, High, NONE),
    ("ssl.truststore.certificates", Type::Password, Null, High, NONE),
    ("ssl.truststore.type", Type::String, Of("JKS"), Medium, NONE),
    ("ssl.truststore.location", Type::String, Null, High, NONE),
    ("ssl.truststore.password", Type::Password, Null, High, NONE),
    ("ssl.keymanager.algorithm", Type::String, Of("SunX509"), Low, NONE),
    ("ssl.trustmanager.algorithm", Type::String, Of("PKIX"), Low, NONE),
    ("ssl.endpoint.identification.algorithm", Type::String, Of("https"), Low, NONE),
    ("ssl.secure.random.implementation", Type::String, Null, Low, NONE),
    ("ssl.engine.factory.class", Type::Class, Null, Low, NONE),
    ("sasl.kerberos.service.name", Type::String, Null, Medium, NONE),
    ("sasl.kerberos.kinit.cmd", Type::String, Of("/usr/bin/kinit"), Low, NONE),
    ("sasl.kerberos.ticket.renew.window.factor", Type::Double, Of("0.8"), Low, NONE),
    ("sasl.kerberos.ticket.renew.jitter", Type::Double, Of("0.05"), Low, NONE),
    ("sasl.kerberos.min.time.before.relogin", Type::Long, Of("60000"), Low, NONE),
    (
        "sasl.login.refresh.window.factor",
        Type::Double,
        Of("0.8"),
        Low,
        Validator::Custom(half_to_one),
    ),
    (
        "sasl.login.refresh.window.jitter",
        Type::Double,
        Of("0.05"),
        Low,
        Validator::Custom(up_to_a_quarter),
    ),
    (
        "sasl.login.refresh.min.period.seconds",
        Type::Short,
        Of("60"),
        Low,
        Validator::Between(0, 900),
    ),
    ("sasl.login.refresh.buffer.seconds", Type::Short, Of("300"), Low, Validator::Between(0, 3600)),
    ("sasl.mechanism", Type::String, Of("GSSAPI"), Medium, NONE),
    ("sasl.jaas.config", Type::Password, Null, Medium, NONE),
    ("sasl.client.callback.handler.class", Type::Class, Null, Medium, NONE),
    ("sasl.login.callback.handler.class", Type::Class, Null, Medium, NONE),
    ("sasl.login.class", Type::Class, Null, Medium, NONE),
    ("sasl.login.connect.timeout.ms", Type::Int, Null, Low, NONE),
    ("sasl.login.read.timeout.ms", Type::Int, Null, Low, NONE),
    ("sasl.login.retry.backoff.max.ms", Type::Long, Of("10000"), Low, NONE),
    ("sasl.login.retry.backoff.ms", Type::Long, Of("100"), Low, NONE),
    (
        "sasl.oauthbearer.jwt.retriever.class",
        Type::Class,
        Of("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
        Medium,
        NONE,
    ),
    (
        "sasl.oauthbearer.jwt.validator.class",
        Type::Class,
        Of("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
        Medium,
        NONE,
    ),
    ("sasl.oauthbearer.scope", Type::String, Null, Medium, NONE),
    ("sasl.oauthbearer.client.credentials.client.id", Type::String, Null, Medium, NONE),
    ("sasl.oauthbearer.client.credentials.client.secret", Type::Password, Null, Medium, NONE),
    (
        "sasl.oauthbearer.assertion.algorithm",
        Type::String,
        Of("RS256"),
        Medium,
        Validator::OneOfIgnoreCase(&["ES256", "RS256"]),
    ),
    ("sasl.oauthbearer.assertion.claim.aud", Type::String, Null, Medium, NONE),
    (
        "sasl.oauthbearer.assertion.claim.exp.seconds",
        Type::Int,
        Of("300"),
        Low,
        Validator::Between(0, 86400),
    ),
    ("sasl.oauthbearer.assertion.claim.iss", Type::String, Null, Medium, NONE),
    ("sasl.oauthbearer.assertion.claim.jti.include", Type::Boolean, Of("false"), Medium, NONE),
    (
        "sasl.oauthbearer.assertion.claim.nbf.seconds",
        Type::Int,
        Of("60"),
        Low,
        Validator::Between(0, 3600),
    ),
    ("sasl.oauthbearer.assertion.claim.sub", Type::String, Null, Medium, NONE),
    ("sasl.oauthbearer.assertion.file", Type::String, Null, Medium, NONE),
    ("sasl.oauthbearer.assertion.private.key.file", Type::String, Null, Medium, NONE),
    ("sasl.oauthbearer.assertion.private.key.passphrase", Type::Password, Null, Medium, NONE),
    ("sasl.oauthbearer.assertion.template.file", Type::String, Null, Medium, NONE),
    ("sasl.oauthbearer.scope.claim.name", Type::String, Of("scope"), Low, NONE),
    ("sasl.oauthbearer.sub.claim.name", Type::String, Of("sub"), Low, NONE),
    ("sasl.oauthbearer.token.endpoint.url", Type::String, Null, Medium, NONE),
    ("sasl.oauthbearer.jwks.endpoint.url", Type::String, Null, Medium, NONE),
    ("sasl.oauthbearer.jwks.endpoint.refresh.ms", Type::Long, Of("3600000"), Low, NONE),
    ("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Type::Long, Of("10000"), Low, NONE),
    ("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Type::Long, Of("100"), Low, NONE),
    ("sasl.oauthbearer.clock.skew.seconds", Type::Int, Of("30"), Low, NONE),
    ("sasl.oauthbearer.expected.audience", Type::List, Null, Low, NONE),
    ("sasl.oauthbearer.expected.issuer", Type::String, Null, Low, NONE),
    ("sasl.oauthbearer.header.urlencode", Type::Boolean, Of("false"), Low, NONE),
];
