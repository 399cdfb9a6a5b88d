//! The plug-ins of a transform that has a class for keys and one for values.

/// `KEY` and `VALUE`, the plug-ins of a class named with `$Key` and `$Value`. The transform has a
/// function `configure(&Config, Side)`, and its file a `config_def()`.
macro_rules! sided {
    ($transform:ty, $class:literal) => {
        crate::sides::sided!($transform, "org.apache.kafka.connect.transforms.", $class);
    };
    ($transform:ty, $package:literal, $class:literal) => {
        /// The class for keys.
        pub const KEY: millrace_api::plugin::TransformationPlugin =
            millrace_api::plugin::TransformationPlugin {
                class: concat!($package, $class, "$Key"),
                config_def,
                new: |config| {
                    <$transform>::configure(config, millrace_api::transformation::Side::Key)
                },
            };

        /// The class for values.
        pub const VALUE: millrace_api::plugin::TransformationPlugin =
            millrace_api::plugin::TransformationPlugin {
                class: concat!($package, $class, "$Value"),
                config_def,
                new: |config| {
                    <$transform>::configure(config, millrace_api::transformation::Side::Value)
                },
            };

        /// The class of that side.
        fn class_of(side: millrace_api::transformation::Side) -> &'static str {
            match side {
                millrace_api::transformation::Side::Key => KEY.class,
                millrace_api::transformation::Side::Value => VALUE.class,
            }
        }
    };
}
pub(crate) use sided;
