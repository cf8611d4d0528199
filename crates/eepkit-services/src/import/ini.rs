//! The format of i2pd's tunnel files, which is that of Boost's property trees.

use super::{ImportError, Setting, Settings, Source};

/// A section: its name, its line, its settings.
type Section = (String, usize, Settings);

/// Reads the sections of a file.
///
/// White space around lines, keys and values is ignored. `;` and `#` begin a comment in the first
/// column. There are no quotes, and no comments behind a value.
///
/// # Errors
///
/// [`ImportError`] for a line that is neither, and for a section or a key that is repeated. i2pd
/// ignores the whole file then.
pub(super) fn read(file: &Source) -> Result<Vec<Section>, ImportError> {
    let mut sections: Vec<Section> = Vec::new();
    let text = file.text.strip_prefix('\u{feff}').unwrap_or(&file.text);
    for (index, line) in text.lines().enumerate() {
        let wrong = |why: String| ImportError {
            file: file.name.clone(),
            line: index + 1,
            why,
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name
                .strip_suffix(']')
                .ok_or_else(|| wrong("the name of a section ends with \"]\"".to_owned()))?
                .trim();
            if sections.iter().any(|(other, ..)| other == name) {
                return Err(wrong(format!("there are two sections [{}]", shown(name))));
            }
            if sections.len() == MAX_TUNNELS {
                return Err(wrong(format!("there are more than {MAX_TUNNELS} sections")));
            }
            sections.push((name.to_owned(), index + 1, Vec::new()));
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            return Err(wrong("expected [SECTION] or KEY = VALUE".to_owned()));
        };
        let key = key.trim();
        if key.is_empty() {
            return Err(wrong("expected a key before \"=\"".to_owned()));
        }
        let Some((_, _, settings)) = sections.last_mut() else {
            return Err(wrong(format!("{} stands in no section", shown(key))));
        };
        if settings.iter().any(|setting| setting.key == key) {
            return Err(wrong(format!("{} is set twice", shown(key))));
        }
        if settings.len() == MAX_SETTINGS {
            return Err(wrong(format!(
                "there are more than {MAX_SETTINGS} settings in a section"
            )));
        }
        settings.push(Setting {
            key: key.to_owned(),
            value: value.trim().to_owned(),
            line: index + 1,
        });
    }
    Ok(sections)
}

/// The beginning of a word of the file.
fn shown(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// Chosen because each tunnel needs a session of the router, of which it has some hundreds.
pub(super) const MAX_TUNNELS: usize = 1000;
/// Chosen as several times the number of all settings that there are.
pub(super) const MAX_SETTINGS: usize = 1000;
