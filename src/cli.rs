//! The command line. Exit codes are those of `sysexits.h`: 64 for a wrong command or configuration, 69 for a port that cannot be had.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use weir_actors::clock;

use crate::config::{self, Config, Fault, Faults};
use crate::doctor::{self, Grade};
use crate::server::{self, ServeError};
use crate::store::Store;
use crate::telemetry;
use crate::tls::self_signed::{self, SelfSignedError};
use crate::worker::{self, Task};

const USAGE: &str = "\
weir: self-hosted live-stream ingest orchestrator

usage: weir serve        [--config FILE]   run the server until SIGTERM
       weir check-config [--config FILE]   tell everything that is wrong with a configuration
       weir doctor       [--config FILE]   tell whether this machine can run the server
       weir self-signed  --host NAME … --out DIR
                                           make cert.pem and key.pem there, for trials of RTMPS and HTTPS
       weir reset-secrets [--config FILE]  for a lost data.token_key: new push tokens for all streams, no passphrases, no pull URIs,
                                           no webhooks of the API; only while the server is stopped
       weir --version | --help

Without --config, the defaults and the environment (WEIR__SECTION__KEY) hold.";

/// `EX_USAGE`: the command or the configuration is wrong.
const EXIT_USAGE: u8 = 64;
/// `EX_UNAVAILABLE`: a port cannot be had.
const EXIT_UNAVAILABLE: u8 = 69;
/// `EX_CANTCREAT`: a file cannot be written.
const EXIT_CANNOT_CREATE: u8 = 73;
/// `EX_SOFTWARE`: the supervision tree could not be kept alive.
const EXIT_TREE: u8 = 70;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    Serve {
        config: Option<PathBuf>,
    },
    CheckConfig {
        config: Option<PathBuf>,
    },
    Doctor {
        config: Option<PathBuf>,
    },
    SelfSigned {
        hosts: Vec<String>,
        out: PathBuf,
    },
    ResetSecrets {
        config: Option<PathBuf>,
    },
    /// A media worker, for the server's own use.
    Worker(Task),
    Version,
    Help,
}

/// Does what the arguments say; they come without the program's name.
pub fn main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    match parse(arguments) {
        Ok(Command::Serve { config }) => serve(config),
        Ok(Command::CheckConfig { config }) => check_config(load(config)),
        Ok(Command::Doctor { config }) => doctor(load(config)),
        Ok(Command::SelfSigned { hosts, out }) => self_signed(&hosts, &out),
        Ok(Command::ResetSecrets { config }) => reset_secrets(load(config)),
        Ok(Command::Worker(task)) => worker::main(task),
        Ok(Command::Version) => {
            println!("weir {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Command::Help) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("weir: {wrong}\n\n{USAGE}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let name = arguments.next().ok_or("no command")?;
    // The stream's number behind `worker` only serves those who read the process list.
    if name == "worker" {
        return Ok(Command::Worker(match arguments.next().as_deref() {
            Some("--registry") => Task::Registry,
            Some("--sandbox-test") => Task::SandboxTest,
            _ => Task::Stream,
        }));
    }
    let options = options(arguments)?;
    if name == "self-signed" {
        return self_signed_pair(options);
    }
    let mut config = None;
    for (option, value) in options {
        if option != "--config" {
            return Err(format!("unknown argument \"{option}\""));
        }
        if config.replace(PathBuf::from(value)).is_some() {
            return Err("--config is given twice".into());
        }
    }
    match (name.as_str(), config) {
        ("serve", config) => Ok(Command::Serve { config }),
        ("check-config", config) => Ok(Command::CheckConfig { config }),
        ("doctor", config) => Ok(Command::Doctor { config }),
        ("reset-secrets", config) => Ok(Command::ResetSecrets { config }),
        ("--version" | "-V" | "version", None) => Ok(Command::Version),
        ("--help" | "-h" | "help", None) => Ok(Command::Help),
        _ => Err(format!("unknown command \"{name}\"")),
    }
}

/// `--name value` and `--name=value`.
fn options(mut arguments: impl Iterator<Item = String>) -> Result<Vec<(String, String)>, String> {
    let mut options = Vec::new();
    while let Some(argument) = arguments.next() {
        if !argument.starts_with("--") {
            return Err(format!("unknown argument \"{argument}\""));
        }
        options.push(match argument.split_once('=') {
            Some((option, value)) => (option.to_owned(), value.to_owned()),
            None => {
                let value = arguments.next().ok_or_else(|| format!("{argument} wants a value"))?;
                (argument, value)
            }
        });
    }
    Ok(options)
}

fn self_signed_pair(options: Vec<(String, String)>) -> Result<Command, String> {
    let (mut hosts, mut out) = (Vec::new(), None);
    for (option, value) in options {
        match option.as_str() {
            "--host" => hosts.push(value),
            "--out" if out.is_none() => out = Some(PathBuf::from(value)),
            "--out" => return Err("--out is given twice".into()),
            _ => return Err(format!("unknown argument \"{option}\"")),
        }
    }
    if hosts.is_empty() {
        return Err("self-signed wants --host with the name or address that clients connect to".into());
    }
    Ok(Command::SelfSigned { hosts, out: out.ok_or("self-signed wants --out with a directory")? })
}

fn load(file: Option<PathBuf>) -> Result<Config, Faults> {
    config::load(file.as_deref())
}

fn serve(file: Option<PathBuf>) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    // Outlives the server: it sends the last spans.
    let _traces = match telemetry::start(&config.log, &config.telemetry) {
        Ok(traces) => traces,
        Err(error) => {
            eprintln!("weir: {error}");
            return ExitCode::FAILURE;
        }
    };
    outcome(server::serve(config, vec![]))
}

/// How a server's end is told to whoever started the process.
pub fn outcome(end: Result<(), ServeError>) -> ExitCode {
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error}");
            match error {
                ServeError::Certificate { .. } => ExitCode::from(EXIT_USAGE),
                ServeError::Bind { .. } => ExitCode::from(EXIT_UNAVAILABLE),
                ServeError::TreeGone(_) => ExitCode::from(EXIT_TREE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn check_config(config: Result<Config, Faults>) -> ExitCode {
    match config {
        Ok(config) => {
            let (faults, notes) = certificates(&config);
            for line in notes {
                println!("note: {line}");
            }
            if !faults.0.is_empty() {
                return refuse(&faults);
            }
            println!("configuration is fine");
            ExitCode::SUCCESS
        }
        Err(faults) => refuse(&faults),
    }
}

/// What is wrong with the certificates that the configuration names, and what there is to note about the others.
fn certificates(config: &Config) -> (Faults, Vec<String>) {
    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    for (door, files) in config.tls_doors() {
        match files.read() {
            Ok(pair) => notes.extend(pair.notes(door, clock::wall())),
            Err(error) => faults.push(Fault::new(format!("{door}.{}", error.part().key()), error.to_string())),
        }
    }
    (Faults(faults), notes)
}

fn self_signed(hosts: &[String], out: &Path) -> ExitCode {
    match self_signed::write(out, hosts, clock::wall()) {
        Ok(files) => {
            println!("wrote {} and {}", files.cert.display(), files.key.display());
            println!("for {}; encoders and browsers trust it only when they are told to", hosts.join(", "));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("weir: {error}");
            match error {
                SelfSignedError::Name(_) => ExitCode::from(EXIT_USAGE),
                SelfSignedError::Write { .. } => ExitCode::from(EXIT_CANNOT_CREATE),
                SelfSignedError::Make(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn refuse(faults: &Faults) -> ExitCode {
    eprintln!("{faults}");
    ExitCode::from(EXIT_USAGE)
}

fn doctor(config: Result<Config, Faults>) -> ExitCode {
    let findings = doctor::examine(config);
    for finding in &findings {
        println!("{finding}");
    }
    let failed = findings.iter().any(|finding| finding.grade == Grade::Fail);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn reset_secrets(config: Result<Config, Faults>) -> ExitCode {
    let data = match config {
        Ok(config) => config.data,
        Err(faults) => return refuse(&faults),
    };
    let reset = async { Store::reset_secrets(&data.dir, data.token_key.as_ref()).await };
    match actix_rt::System::new().block_on(reset) {
        Ok(count) => {
            println!("{count} streams have new push tokens, and neither passphrases nor pull URIs");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("weir: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn commands_take_their_configuration_in_both_spellings() {
        let config = Some(PathBuf::from("a.toml"));
        assert_eq!(parsed("serve --config a.toml"), Ok(Command::Serve { config: config.clone() }));
        assert_eq!(parsed("doctor --config=a.toml"), Ok(Command::Doctor { config }));
        assert_eq!(parsed("check-config"), Ok(Command::CheckConfig { config: None }));
    }

    #[test]
    fn a_self_signed_pair_wants_names_and_a_directory() {
        let hosts = vec!["a".to_owned(), "b".to_owned()];
        let wish = Command::SelfSigned { hosts, out: PathBuf::from("tls") };
        assert_eq!(parsed("self-signed --host a --host=b --out tls"), Ok(wish));
        for line in
            ["self-signed", "self-signed --host a", "self-signed --out a", "self-signed --host a --out b --out c"]
        {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_worker_takes_the_streams_number_or_another_task() {
        assert_eq!(parsed("worker 12"), Ok(Command::Worker(Task::Stream)));
        assert_eq!(parsed("worker --registry"), Ok(Command::Worker(Task::Registry)));
        assert_eq!(parsed("worker --sandbox-test"), Ok(Command::Worker(Task::SandboxTest)));
    }

    #[test]
    fn a_wrong_command_is_refused() {
        for line in [
            "",
            "server",
            "serve --conf a",
            "serve --host a",
            "serve --config",
            "serve --config a --config b",
            "serve a.toml",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
