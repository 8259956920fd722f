//! The configuration as it is, with every setting explained: what `--help` says is what stands there.

use clap::CommandFactory;

use crate::cli::{Cli, Options};

/// A file that `--config` reads. What isn't set is there as a comment.
pub fn config(options: &Options) -> String {
    let mut text = String::from("# The settings of nearcast-publisher. What begins with # is not set.\n");
    let set = options.as_set();
    for argument in Cli::command().get_arguments() {
        let name = argument.get_id().as_str();
        let Some((_, value, example)) = set.iter().find(|(known, ..)| *known == name) else { continue };
        text.push('\n');
        let help =
            argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
        for line in wrapped(&help) {
            text += &format!("# {line}\n");
        }
        match value {
            Some(value) => text += &format!("{name} = {value}\n"),
            None => text += &format!("# {name} = {example}\n"),
        }
    }
    text
}

/// In lines that fit a terminal.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < 96 => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn read(text: &str) -> Options {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let arguments = [
            "nearcast-publisher",
            "/srv/\"films\"",
            "--tracker",
            "/ip4/203.0.113.5/tcp/4401",
            "--upload",
            "20Mbit",
            "--hours",
            "22:00-07:00 = unlimited",
            "--http",
            "127.0.0.1:1",
            "--public",
            "https://films.example/",
            "--direct",
            "3",
            "--no-posters",
            "--drain",
            "7",
            "--name",
            "片库",
        ];
        let options = Cli::parse_from(arguments).options;
        let text = config(&options);
        assert_eq!(config(&read(&text)), text, "{text}");
        assert!(text.contains("\nupload = \"2500000B\"") && text.contains("\nname = \"片库\""), "{text}");
    }

    #[test]
    fn every_setting_is_there_and_every_example_is_sound() {
        let text = config(&Options::default());
        assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "{text}");
        let setting = |line: &str| {
            let line = line.strip_prefix("# ")?;
            let (name, _) = line.split_once(" = ")?;
            name.bytes().all(|letter| letter.is_ascii_lowercase() || letter == b'_').then(|| line.to_owned())
        };
        let examples: Vec<String> = text.lines().filter_map(setting).collect();
        read(&examples.join("\n"));
        let command = Cli::command();
        let flags = command.get_arguments().map(|argument| argument.get_id().as_str());
        let settings =
            flags.filter(|name| !["config", "print_config", "verbose", "help", "version"].contains(name));
        for name in settings {
            assert!(examples.iter().any(|line| line.starts_with(&format!("{name} = "))), "{name} is missing");
        }
    }
}
