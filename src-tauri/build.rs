//! Names the commands that the screen may call, so that the capability can allow each by itself.

fn main() {
    let manifest = tauri_build::AppManifest::new().commands(&["connect", "act", "window"]);
    if let Err(error) = tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest)) {
        println!("cargo::error={error:#}");
    }
}
