//! One table of options for each service.
//!
//! An entry of a [`Table`] says of an option what its key and its flag are called, what values it
//! takes, what it does, and how it is read from and written into a configuration. From the table
//! come the keys of the configuration file, the flags of the command line and their help, the
//! printed file with every key ([`Table::example_file`]), and the table of the documentation
//! ([`Table::markdown`]). A default is never written down: it is what the entry reads from a
//! configuration that nothing was set in.

mod docs;
mod file;
mod session;
mod value;

use std::{fmt, path::Path};

pub use self::{
    file::{File, FileError, Section},
    session::{SessionOptions, session_option_problem},
    value::{Element, Form, Input, Located, Mistake, Span, Value},
};

/// The options of a service, or of another section of the configuration file.
pub struct Table<C: 'static> {
    /// The name of the section in the configuration file.
    pub section: &'static str,
    /// What the section is about: a sentence.
    pub doc: &'static str,
    /// A configuration that nothing was set in.
    pub defaults: fn() -> C,
    /// The options, in the order in which they are documented.
    pub options: &'static [Opt<C>],
}

/// One option.
pub struct Opt<C: 'static> {
    /// Its key in the configuration file.
    pub key: &'static str,
    /// What it does. The first line is a sentence that stands by itself; the others add details.
    pub doc: &'static str,
    /// A value as the file would have it, for options without a default.
    pub example: &'static str,
    /// Its flag on the command line, if it has one.
    pub flag: Option<Flag>,
    /// How it is read and written.
    pub access: Access<C>,
}

/// How an option is given on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// The long name, without hyphens.
    pub long: &'static str,
    /// The short name.
    pub short: Option<char>,
    /// What the help calls the value.
    pub value: &'static str,
    /// Keys of options that have to be given with it.
    pub requires: &'static [&'static str],
    /// A flag without a value that sets the list to no elements, and its help.
    pub none: Option<(&'static str, &'static str)>,
}

impl Flag {
    /// A flag with a long name only, whose value the help calls `value`.
    pub const fn new(long: &'static str, value: &'static str) -> Self {
        Self {
            long,
            short: None,
            value,
            requires: &[],
            none: None,
        }
    }

    /// With a short name, too.
    #[must_use]
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// It needs the options with these keys.
    #[must_use]
    pub const fn requires(mut self, keys: &'static [&'static str]) -> Self {
        self.requires = keys;
        self
    }

    /// With a flag that sets the list to no elements.
    #[must_use]
    pub const fn none(mut self, long: &'static str, doc: &'static str) -> Self {
        self.none = Some((long, doc));
        self
    }
}

/// How an option is read from and written into a configuration. [`access!`](crate::access) makes
/// one.
pub struct Access<C> {
    /// The form of its values.
    pub form: Form,
    /// Sets the option. Relative paths are resolved against the directory.
    pub set: fn(&mut C, &Input<'_>, &Path) -> Result<(), Mistake>,
    /// The value as the file would have it; none if it is not set.
    pub get: fn(&C) -> Option<String>,
    /// Checks a text that stands for one value, or for one element of a list.
    pub check: fn(&str) -> Result<(), String>,
}

/// Makes the [`Access`](crate::options::Access) of an option: `access!(Config, Type, field)` for a
/// field, or `access!(Config, Type, get, set)` with two closures, of which the first returns a
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
    /// An option that stands only in the configuration file.
    pub const fn new(key: &'static str, access: Access<C>, doc: &'static str) -> Self {
        Self {
            key,
            doc,
            example: "",
            flag: None,
            access,
        }
    }

    /// With a flag.
    #[must_use]
    pub const fn flag(mut self, flag: Flag) -> Self {
        self.flag = Some(flag);
        self
    }

    /// With a value for examples, where there is no default.
    #[must_use]
    pub const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }
}

impl<C> Table<C> {
    /// The option with this key.
    pub fn find(&self, key: &str) -> Option<&'static Opt<C>> {
        self.options.iter().find(|option| option.key == key)
    }

    /// The value that an option has if nobody sets it, as the file would have it.
    pub fn default_of(&self, option: &Opt<C>) -> Option<String> {
        (option.access.get)(&(self.defaults)())
    }

    /// Reads a section: the defaults, changed by its keys.
    ///
    /// # Errors
    ///
    /// [`FileError`] with the line of a key that does not exist or has a value that it cannot have.
    pub fn read(&self, section: &Section<'_>) -> Result<C, FileError> {
        let mut config = (self.defaults)();
        section.check_keys(self.options.iter().map(|option| option.key))?;
        for option in self.options {
            section.set(option.key, |input, directory| {
                (option.access.set)(&mut config, input, directory)
            })?;
        }
        Ok(config)
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
