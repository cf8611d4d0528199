//! One table of options for each service.
//!
//! An entry of a [`Table`] declares an option: its key, its flag, its values, its documentation,
//! and how it is read from the configuration file and written to it. The table is the source of the
//! keys of the configuration file, the flags of the command line and their help, the printed file
//! with every key ([`Table::example_file`]), and the table of the documentation
//! ([`Table::markdown`]). Defaults are not written in the table: an entry reads them from the
//! default configuration.

mod docs;
mod file;
mod session;
#[cfg(test)]
pub(crate) mod testing;
mod value;

use std::{fmt, path::Path};

pub use self::{
    file::{File, FileError, FileErrors, Section},
    session::{SessionOptions, session_option_problem},
    value::{Element, Form, Input, Located, Mistake, Span, Value},
};

/// The options of a service, or of another section of the configuration file.
pub struct Table<C: 'static> {
    /// The name of the section in the configuration file.
    pub section: &'static str,
    /// A sentence that describes the section.
    pub doc: &'static str,
    /// Creates the default configuration.
    pub defaults: fn() -> C,
    /// The options, in the order in which they are documented.
    pub options: &'static [Opt<C>],
}

/// One option.
pub struct Opt<C: 'static> {
    /// The key in the configuration file.
    pub key: &'static str,
    /// The documentation. The first line is a complete sentence; the other lines add details.
    pub doc: &'static str,
    /// An example value in the syntax of the file, for options without a default.
    pub example: &'static str,
    /// The flag on the command line, if there is one.
    pub flag: Option<Flag>,
    /// The functions to read and write the option.
    pub access: Access<C>,
}

/// The flag of an option on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// The long name, without hyphens.
    pub long: &'static str,
    /// The short name.
    pub short: Option<char>,
    /// The name of the value in the help.
    pub value: &'static str,
    /// Keys of options that must be given together with it.
    pub requires: &'static [&'static str],
    /// The environment variable that sets the option where the flag is not given.
    pub env: Option<&'static str>,
    /// The default for help, where commands with the flag have another default than the file.
    pub default: Option<&'static str>,
    /// A flag without a value that sets an empty list, and its help.
    pub none: Option<(&'static str, &'static str)>,
    /// Whether a value may begin with a hyphen, as destinations in base64 do at times.
    pub hyphen: bool,
}

impl Flag {
    /// Creates a flag with a long name only. The help calls its value `value`.
    pub const fn new(long: &'static str, value: &'static str) -> Self {
        Self {
            long,
            short: None,
            value,
            requires: &[],
            env: None,
            default: None,
            none: None,
            hyphen: false,
        }
    }

    /// Accepts values that begin with a hyphen.
    #[must_use]
    pub const fn hyphen(mut self) -> Self {
        self.hyphen = true;
        self
    }

    /// Adds a short name.
    #[must_use]
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// Requires the options with these keys.
    #[must_use]
    pub const fn requires(mut self, keys: &'static [&'static str]) -> Self {
        self.requires = keys;
        self
    }

    /// Sets the environment variable of the option.
    #[must_use]
    pub const fn env(mut self, name: &'static str) -> Self {
        self.env = Some(name);
        self
    }

    /// Sets the default for help, where it is not that of the file.
    #[must_use]
    pub const fn default(mut self, text: &'static str) -> Self {
        self.default = Some(text);
        self
    }

    /// Adds a flag that sets an empty list.
    #[must_use]
    pub const fn none(mut self, long: &'static str, doc: &'static str) -> Self {
        self.none = Some((long, doc));
        self
    }
}

/// The functions to read an option into a configuration and to write it. [`access!`](crate::access)
/// creates them.
pub struct Access<C> {
    /// The form of the values.
    pub form: Form,
    /// Sets the option. Relative paths are resolved against the directory.
    pub set: fn(&mut C, &Input<'_>, &Path) -> Result<(), Mistake>,
    /// Formats the value for the file; `None` if it is not set.
    pub get: fn(&C) -> Option<String>,
    /// Checks a text for one value, or for one element of a list.
    pub check: fn(&str) -> Result<(), String>,
}

/// Creates the [`Access`](crate::options::Access) of an option: `access!(Config, Type, field)` for
/// a field, or `access!(Config, Type, get, set)` with two closures, of which the first returns a
/// value and the second sets it.
#[macro_export]
macro_rules! access {
    ($config:ty, $value:ty, $($field:ident).+) => {
        $crate::access!(
            $config,
            $value,
            |config: &$config| config.$($field).+.clone(),
            |config: &mut $config, value| config.$($field).+ = value
        )
    };
    ($config:ty, $value:ty, $get:expr, $set:expr) => {
        $crate::options::Access::<$config> {
            form: <$value as $crate::options::Value>::FORM,
            set: |config, input, directory| {
                let value = <$value as $crate::options::Value>::read(input, directory)?;
                let set: fn(&mut $config, $value) = $set;
                set(config, value);
                Ok(())
            },
            get: |config| {
                let get: fn(&$config) -> $value = $get;
                $crate::options::Value::write(&get(config))
            },
            check: <$value as $crate::options::Value>::check,
        }
    };
}

impl<C> Opt<C> {
    /// Creates an option of the configuration file, without a flag.
    pub const fn new(key: &'static str, access: Access<C>, doc: &'static str) -> Self {
        Self {
            key,
            doc,
            example: "",
            flag: None,
            access,
        }
    }

    /// Adds a flag.
    #[must_use]
    pub const fn flag(mut self, flag: Flag) -> Self {
        self.flag = Some(flag);
        self
    }

    /// Adds an example value, for an option without a default.
    #[must_use]
    pub const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }
}

impl<C> Table<C> {
    /// Returns the option with this key.
    pub fn find(&self, key: &str) -> Option<&'static Opt<C>> {
        self.options.iter().find(|option| option.key == key)
    }

    /// Returns the default value in the syntax of the file.
    pub fn default_of(&self, option: &Opt<C>) -> Option<String> {
        (option.access.get)(&(self.defaults)())
    }

    /// The keys of the options in which two configurations differ.
    pub fn differing(&self, one: &C, other: &C) -> Vec<&'static str> {
        let differs = |option: &&Opt<C>| (option.access.get)(one) != (option.access.get)(other);
        let differing = self.options.iter().filter(differs);
        differing.map(|option| option.key).collect()
    }

    /// Reads a section: the defaults, changed by its keys.
    ///
    /// # Errors
    ///
    /// The first [`FileError`] with the line of an unknown key or of an invalid value.
    pub fn read(&self, section: &Section<'_>) -> Result<C, FileError> {
        let mut errors = FileErrors::new();
        let config = self.read_valid(section, &mut errors);
        errors.first().map(|()| config)
    }

    /// Reads a section. Unknown keys and invalid values are reported to `errors`, and do not change
    /// the defaults.
    pub fn read_valid(&self, section: &Section<'_>, errors: &mut FileErrors) -> C {
        let mut config = (self.defaults)();
        section.check_keys(self.options.iter().map(|option| option.key), errors);
        for option in self.options {
            let set = section.set(option.key, |input, directory| {
                (option.access.set)(&mut config, input, directory)
            });
            if let Err(error) = set {
                errors.push(error);
            }
        }
        config
    }
}

impl<C> fmt::Debug for Table<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("section", &self.section)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Opt<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opt")
            .field("key", &self.key)
            .field("flag", &self.flag)
            .finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Access<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}
