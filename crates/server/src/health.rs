//! The health page: per service whether it runs, in the shape that tools for other emulators look for.

use api::Region;

use crate::wiring::Services;

/// The page as JSON.
pub fn json(services: &Services, region: &Region, is_local: bool) -> String {
    let running: serde_json::Map<String, serde_json::Value> =
        services.health().into_iter().map(|(name, state)| (name.to_owned(), state.into())).collect();
    serde_json::json!({
        "services": running,
        "version": env!("CARGO_PKG_VERSION"),
        "edition": "millpond",
        "auth": if is_local { "local" } else { "strict" },
        "region": region.as_str(),
    })
    .to_string()
}
