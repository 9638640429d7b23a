//! `vip events`: a line for each change.

use serde_json::json;
use vip_userspace::control::{Refused, client::Client, protocol::Event};

use super::{Progress, Show};
use crate::render;

/// Shows changes until nobody looks any more.
///
/// # Errors
/// Why it ended.
pub(super) async fn follow(client: &Client, show: Show<'_>) -> Result<(), Refused> {
    let each = |event: Event| {
        let (text, json) = (render::event(&event), json!(event));
        show(&Progress { text, json, is_news: true, is_last: true })
    };
    client.follow(each).await
}
