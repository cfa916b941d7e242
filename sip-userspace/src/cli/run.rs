//! `homeward run`: the daemon.

use crate::{
    cli::Failure,
    config::{Config, PATH_DEFAULT},
    driver::Host,
};

/// Runs the daemon in the foreground
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration [default: /etc/homeward/homeward.toml]
    #[arg(long, env = "HOMEWARD_CONFIG", default_value = PATH_DEFAULT, hide_default_value = true, hide_env = true)]
    config: String,
    /// A setting that beats file and environment, e.g. `xdp.mode=off`; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Only check the configuration
    #[arg(long)]
    check: bool,
}

impl Args {
    /// Runs until a signal.
    ///
    /// # Errors
    /// With code 2 if the configuration is wrong, with code 1 if the daemon can't run.
    pub fn run(&self) -> Result<(), Failure> {
        let config = Config::read(&self.config, &self.settings)
            .map_err(|error| Failure { message: error.to_string(), code: 2 })?;
        if self.check {
            return Ok(());
        }
        log(&config);
        let failed = |message: String| Failure { message, code: 1 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(format!("tokio: {error}")))?;
        runtime.block_on(async {
            let host = Host::open(config).map_err(|error| failed(error.to_string()))?;
            host.run().await.map_err(|error| failed(error.to_string()))
        })
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What is logged at a level. rustls warns of what any client may send, such as an address where a
/// name belongs (which Linphone does at each handshake); only who asks for details wants that.
fn filter(level: &str) -> String {
    match level {
        "debug" | "trace" => level.to_owned(),
        _ => format!("{level},rustls=error"),
    }
}

/// Logs to the error stream, as the configuration says.
fn log(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::new(filter(config.log.level));
    let subscriber = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    let done = if config.log.json {
        subscriber.json().try_init()
    } else {
        subscriber.with_ansi(false).try_init()
    };
    // A second subscriber exists only in tests.
    let _ = done;
    for name in &config.strange_variables {
        tracing::warn!(name, "this variable names no setting");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_in_a_handshake_is_no_warning() {
        assert_eq!(filter("info"), "info,rustls=error");
        assert_eq!(filter("error"), "error,rustls=error");
        assert_eq!(filter("debug"), "debug");
    }
}
