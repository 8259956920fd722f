//! The desktop app, driven as a person would: by WebDriver.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{Display, PATIENCE, Program, binary};

/// How often a page is asked whether it shows what is waited for.
const GLANCE: Duration = Duration::from_millis(100);
/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The app's window; dropping it ends the app.
pub struct Window {
    web: ureq::Agent,
    session: String,
    _driver: Program,
}

impl Window {
    /// Starts the app on a display. `root` is where it keeps everything.
    ///
    /// # Errors
    /// When it isn't built or doesn't come up.
    pub fn open(display: &Display, root: &Path, arguments: &[&str]) -> Result<Self> {
        let app = binary("nearcast-app").context("build it with `cargo build --workspace --bins`")?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut driver = display.command("WebKitWebDriver");
        driver.arg(format!("--port={port}")).env("TAURI_WEBVIEW_AUTOMATION", "true");
        let driver = Program::spawn("WebKitWebDriver", driver)?;
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        let web = config.build().new_agent();
        let site = format!("http://127.0.0.1:{port}");
        let until = Instant::now() + PATIENCE;
        while web.get(format!("{site}/status")).call().is_err() {
            if Instant::now() > until {
                bail!("WebKitWebDriver doesn't answer: {}", driver.words());
            }
            sleep(GLANCE);
        }
        let root = root.to_string_lossy();
        let mut all = vec!["--root", &*root];
        all.extend(arguments);
        let options = json!({ "binary": app, "args": all });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "webkitgtk:browserOptions": options } } });
        let answer = post(&web, &format!("{site}/session"), &wanted)
            .with_context(|| format!("the app doesn't come up: {}", driver.words()))?;
        let id = answer["sessionId"].as_str().context("WebDriver gave no session")?;
        let window = Self { web, session: format!("{site}/session/{id}"), _driver: driver };
        window.until("its page", "return document.querySelector('#app > *') !== null")?;
        Ok(window)
    }

    /// Runs a script in the page, and gives what it returns.
    ///
    /// # Errors
    /// When the app is gone or the script fails.
    pub fn run(&self, script: &str) -> Result<Value> {
        post(&self.web, &format!("{}/execute/sync", self.session), &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script returns something but `false`, `null` or nothing; gives that.
    ///
    /// # Errors
    /// When [`PATIENCE`] ends first; says what the page shows instead.
    pub fn until(&self, what: &str, script: &str) -> Result<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let value = self.run(script)?;
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return Ok(value);
            }
            if Instant::now() > until {
                let shown = self.run("return document.body.innerText")?;
                bail!("the window never showed {what}; it shows: {shown}");
            }
            sleep(GLANCE);
        }
    }

    /// Waits for the element with this test id, and clicks it. The pointer moves first, as a hand's does: controls that
    /// have hidden themselves come back.
    ///
    /// # Errors
    /// As [`Window::until`], and when something is in its way.
    pub fn click(&self, id: &str) -> Result<()> {
        let element = self.element(id)?;
        let stirred = format!(
            "window.dispatchEvent(new PointerEvent('pointermove', {{ bubbles: true }})); \
             return document.querySelector('[data-testid={id}]')?.closest('[inert]') === null"
        );
        self.until(id, &stirred)?;
        post(&self.web, &format!("{}/element/{element}/click", self.session), &json!({})).map(drop)
    }

    /// Types into the element with this test id.
    ///
    /// # Errors
    /// As [`Window::click`].
    pub fn type_into(&self, id: &str, text: &str) -> Result<()> {
        let element = self.element(id)?;
        let url = format!("{}/element/{element}/value", self.session);
        post(&self.web, &url, &json!({ "text": text })).map(drop)
    }

    /// Presses keys one after the other, as a hand would; WebDriver's code points stand for those without a sign.
    ///
    /// # Errors
    /// When the app is gone.
    pub fn press(&self, keys: &[&str]) -> Result<()> {
        let event = |kind: &str, key: &str| json!({ "type": kind, "value": key });
        let down = keys.iter().map(|key| event("keyDown", key));
        let up = keys.iter().rev().map(|key| event("keyUp", key));
        let source =
            json!({ "type": "key", "id": "keyboard", "actions": down.chain(up).collect::<Vec<_>>() });
        post(&self.web, &format!("{}/actions", self.session), &json!({ "actions": [source] })).map(drop)
    }

    /// Waits until what the page shows has come to rest and is on the screen: transitions are over, and frames were
    /// drawn since. A page says nothing when the last of them reached the display, hence several.
    ///
    /// # Errors
    /// When the app is gone.
    pub fn drawn(&self) -> Result<()> {
        let script = "const ends = document.getAnimations().filter(one => \
            one.effect.getComputedTiming().iterations !== Infinity).map(one => one.finished.catch(() => {})); \
            return Promise.all(ends).then(() => new Promise(done => { let left = 12; \
            const next = () => --left ? requestAnimationFrame(next) : done(true); requestAnimationFrame(next); }))";
        self.run(script).map(drop)
    }

    fn element(&self, id: &str) -> Result<String> {
        self.until(id, &format!("return document.querySelector('[data-testid={id}]') !== null"))?;
        let wanted = json!({ "using": "css selector", "value": format!("[data-testid={id}]") });
        let found = post(&self.web, &format!("{}/element", self.session), &wanted)?;
        Ok(found[ELEMENT].as_str().context("WebDriver gave no element")?.to_owned())
    }

    /// What the statistics say, as the viewer can copy them.
    ///
    /// # Errors
    /// When no film is open.
    pub fn figures(&self) -> Result<Value> {
        let read =
            "const all = document.querySelector('[data-testid=figures]'); return all && all.textContent";
        if self.run(read)?.is_null() {
            self.press(&["i"])?;
            let text = self.until("the statistics", read)?;
            self.press(&["i"])?;
            return parsed(&text);
        }
        parsed(&self.run(read)?)
    }

    /// Opens the statistics, waits until `script` on them, as `all`, is true, and gives them.
    ///
    /// # Errors
    /// As [`Window::until`].
    pub fn figures_when(&self, what: &str, script: &str) -> Result<Value> {
        self.press(&["i"])?;
        let read = format!(
            "const output = document.querySelector('[data-testid=figures]'); if (!output) return null; \
             const all = JSON.parse(output.textContent); return ({script}) ? output.textContent : null"
        );
        let text = self.until(what, &read)?;
        self.press(&["i"])?;
        parsed(&text)
    }
}

fn parsed(text: &Value) -> Result<Value> {
    Ok(serde_json::from_str(text.as_str().context("the statistics are no text")?)?)
}

fn post(web: &ureq::Agent, url: &str, body: &Value) -> Result<Value> {
    let mut answer = web.post(url).send_json(body)?;
    let status = answer.status();
    let mut body: Value = answer.body_mut().read_json()?;
    if !status.is_success() {
        bail!("WebDriver: {}: {}", body["value"]["error"], body["value"]["message"]);
    }
    Ok(body["value"].take())
}

impl Drop for Window {
    fn drop(&mut self) {
        // The app may have quit by itself.
        let _ = self.web.delete(&self.session).call();
    }
}
