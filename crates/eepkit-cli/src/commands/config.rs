//! `eepkit config`: checks configuration files.

use std::path::Path;

use eepkit_services::options::FileErrors;
use serde::Serialize;

use super::run::cannot_start;
use crate::{
    args::{CheckArgs, ConfigCommand},
    config,
    exit::Exit,
    failure::Failure,
    ui::Ui,
};

pub(super) fn run(command: &ConfigCommand, ui: &Ui) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check(args) => check(args, ui),
    }
}

/// The JSON object that `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    file: Option<String>,
    services: Vec<ServiceReport>,
    errors: Vec<ErrorReport>,
}

#[derive(Debug, Serialize)]
struct ServiceReport {
    kind: &'static str,
    name: String,
}

#[derive(Debug, Serialize)]
struct ErrorReport {
    line: Option<usize>,
    message: String,
    hints: Vec<String>,
}

fn check(args: &CheckArgs, ui: &Ui) -> Result<(), Failure> {
    let file = config::config_file(args.file.as_deref())?;
    let Some(file) = file else {
        let why = "there is no configuration file, so the defaults apply";
        return match args.json {
            true => ui.json(&Report {
                version: 1,
                file: None,
                services: Vec::new(),
                errors: Vec::new(),
            }),
            false => ui.data(why),
        };
    };
    let mut services = Vec::new();
    let errors = match config::read(&file)? {
        Err(errors) => of_text(&errors),
        Ok(config) => {
            let mut errors = Vec::new();
            for plan in &config.services {
                services.push(ServiceReport {
                    kind: plan.kind(),
                    name: plan.name().to_owned(),
                });
                if let Err(error) = plan.check() {
                    let failure = cannot_start(plan.kind(), &error);
                    errors.push(ErrorReport {
                        line: plan.line(),
                        message: format!("[{}] {}: {failure}", plan.kind(), plan.name()),
                        hints: failure.hints().to_vec(),
                    });
                }
            }
            errors
        }
    };
    let count = errors.len();
    report(&file, services, errors, args.json, ui)?;
    match count {
        0 => Ok(()),
        1 => Err(Failure::new(
            Exit::File,
            format!("{} has an error", file.display()),
        )),
        _ => Err(Failure::new(
            Exit::File,
            format!("{} has {count} errors", file.display()),
        )),
    }
}

fn of_text(errors: &FileErrors) -> Vec<ErrorReport> {
    let reports = errors.iter().map(|error| ErrorReport {
        line: Some(error.line),
        message: error.message.clone(),
        hints: error.hint.iter().cloned().collect(),
    });
    reports.collect()
}

fn report(
    file: &Path,
    services: Vec<ServiceReport>,
    errors: Vec<ErrorReport>,
    json: bool,
    ui: &Ui,
) -> Result<(), Failure> {
    if json {
        return ui.json(&Report {
            version: 1,
            file: Some(file.display().to_string()),
            services,
            errors,
        });
    }
    if errors.is_empty() {
        return ui.data(format!("{} can be used", file.display()));
    }
    for error in errors {
        let place = match error.line {
            Some(line) => format!("{}:{line}", file.display()),
            None => file.display().to_string(),
        };
        ui.data(format!("{place}: {}", error.message))?;
        for hint in error.hints {
            ui.data(format!("    {hint}"))?;
        }
    }
    Ok(())
}
