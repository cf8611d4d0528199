//! Documentation of options.

use std::fmt::Write as _;

use super::{Form, Opt, Table};

impl<C> Table<C> {
    /// The section as a configuration file with every key. Each key is commented out and has its
    /// default value.
    pub fn example_file(&self) -> String {
        let mut text = format!("\n# {}\n[{}]\n", self.doc, self.section);
        for option in self.options {
            for line in option.doc.lines() {
                let _ = write!(text, "\n# {line}");
            }
            // An empty list shows less than an example.
            let is_shown = |default: &String| option.example.is_empty() || default != "[]";
            let default = self.default_of(option).filter(is_shown);
            let note = if default.is_some() {
                ""
            } else {
                " (an example)"
            };
            let value = default.unwrap_or_else(|| option.example.to_owned());
            let _ = write!(text, "{note}\n#{} = {value}\n", option.key);
        }
        text
    }

    /// The options as a table in Markdown. `command` is the command that has the flags.
    pub fn markdown(&self, command: &str) -> String {
        let mut text = format!(
            "| key in `[{}]` | flag of `{command}` | default | what it does |\n|---|---|---|---|\n",
            self.section
        );
        for option in self.options {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                option.key,
                flags(option),
                self.default_cell(option),
                option.doc.replace('\n', " ").replace('|', "\\|"),
            );
        }
        text
    }

    /// The short and the long help of an option's flag. The short help is the first sentence, with
    /// the default and whether the flag may be given several times. The long help adds the details.
    /// Keys that have a flag are replaced by the flag.
    pub fn help(&self, option: &Opt<C>) -> (String, String) {
        let (sentence, details) = option.doc.split_once('\n').unwrap_or((option.doc, ""));
        let short = self.short_help(option, sentence);
        match details {
            "" => (short.clone(), short),
            _ => {
                let details = self.with_flags(&details.replace('\n', " "));
                (short.clone(), format!("{short}\n\n{details}"))
            }
        }
    }

    /// The text of a mistake for somebody who uses flags: `key = "VALUE"`, a key at the beginning, and
    /// keys with an underscore are replaced by the flag.
    pub fn mistake(&self, text: &str) -> String {
        let mut text = self.with_flags(text);
        for option in self.options {
            let Some(flag) = option.flag else {
                continue;
            };
            let assigned = format!("{} = \"", option.key);
            if let Some((before, after)) = text.split_once(&assigned) {
                let (value, rest) = after.split_once('"').unwrap_or((after, ""));
                text = format!("{before}--{} {value}{rest}", flag.long);
            }
            let rest = text.strip_prefix(option.key);
            if let Some(rest) = rest.filter(|rest| rest.starts_with([' ', ':'])) {
                text = format!("--{}{rest}", flag.long);
            }
        }
        text
    }

    /// The default of the key and, if it is another one, that of the flag.
    fn default_cell(&self, option: &Opt<C>) -> String {
        let of_file = self.default_of(option).map(|value| format!("`{value}`"));
        let of_flag = option.flag.and_then(|flag| flag.default);
        let of_flag = of_flag.map(|text| format!("of the flag: {text}"));
        let parts: Vec<_> = of_file.into_iter().chain(of_flag).collect();
        parts.join("; ")
    }

    /// Replaces keys with an underscore by their flags.
    fn with_flags(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for option in self.options {
            if let (Some(flag), true) = (&option.flag, option.key.contains('_')) {
                text = text.replace(option.key, &format!("--{}", flag.long));
            }
        }
        text
    }

    fn short_help(&self, option: &Opt<C>, sentence: &str) -> String {
        let mut help = self.with_flags(sentence.trim_end_matches('.'));
        let default = match option.flag.and_then(|flag| flag.default) {
            Some(text) => text.to_owned(),
            None => {
                let default = self.default_of(option).filter(|value| value != "false");
                default.map(|value| plain(&value)).unwrap_or_default()
            }
        };
        if !default.is_empty() {
            let _ = write!(help, " [default: {default}]");
        }
        if matches!(option.access.form, Form::List | Form::Pairs) {
            help.push_str("; may be given several times");
        }
        help
    }
}

/// Returns a value without the quotes and outer brackets of TOML.
fn plain(value: &str) -> String {
    let list = value
        .strip_prefix('[')
        .and_then(|value| value.strip_suffix(']'));
    list.unwrap_or(value).replace('"', "")
}

fn flags<C>(option: &Opt<C>) -> String {
    let Some(flag) = &option.flag else {
        return String::new();
    };
    let mut text = String::from("`");
    if let Some(short) = flag.short {
        let _ = write!(text, "-{short}, ");
    }
    let _ = write!(text, "--{}", flag.long);
    if option.access.form != Form::Switch {
        let _ = write!(text, " {}", flag.value);
    }
    text.push('`');
    if let Some((none, _)) = flag.none {
        let _ = write!(text, ", `--{none}`");
    }
    text
}
