//! A plain server: nginx, with the line of all the scenario's sources together.

use std::process::Command;

use anyhow::{Context, Result, bail};
use nearcast_tests::Program;

use super::{Seat, Stage};

pub fn version() -> Result<String> {
    let said = Command::new("nginx").arg("-v").output();
    let said = said.context("nginx is missing; `scripts/install-packages lab` installs it")?;
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    Ok(text.trim().trim_start_matches("nginx version: ").to_owned())
}

pub fn origin(stage: &Stage<'_>) -> Result<Program> {
    let host = stage.topology.hosts.last().filter(|host| host.name == "origin");
    let host = host.context("there is no host for the origin")?;
    let folder = stage.folder_of("origin")?;
    let root = stage.film.path.parent().context("the film lies nowhere")?;
    let (address, at) = (host.address, folder.display());
    let config = folder.join("nginx.conf");
    std::fs::write(
        &config,
        format!(
            "daemon off; pid {at}/pid; error_log stderr notice; worker_processes 1; user root;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on;
  client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
  uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
  server {{ listen {address}:8080; root {root}; }}
}}
",
            root = root.display()
        ),
    )?;
    let mut command = host.space.command("nginx");
    command.arg("-c").arg(config);
    let mut program = Program::spawn("nginx", command)?;
    program.wait_for("that it runs", |line| line.contains("start worker process ").then_some(()))?;
    Ok(program)
}

pub fn seat(stage: &Stage<'_>) -> Result<Seat> {
    let host = stage.topology.hosts.last().filter(|host| host.name == "origin");
    let Some(host) = host else { bail!("there is no host for the origin") };
    let name = stage.film.path.file_name().context("the film has no name")?.to_string_lossy();
    let target = format!("http://{}:8080/{name}", host.address);
    Ok(Seat { daemon: None, target, arguments: Vec::new() })
}
