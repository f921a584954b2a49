//! Sticky sessions.

use super::*;
use crate::config::Stickiness;

fn sticky(stickiness: Stickiness) -> World {
    let mut setting = Setting { targets: 3, ..Setting::default() };
    setting.listener.stickiness = Some(stickiness);
    World::with(setting)
}

/// Asks with these cookies on a new connection; which target was asked, and the answer's head.
async fn ask(world: &mut World, cookies: &str, answer: &str) -> (IpAddr, String) {
    let mut client = world.client();
    let cookies = if cookies.is_empty() { String::new() } else { format!("Cookie: {cookies}\r\n") };
    client.say(&format!("GET / HTTP/1.1\r\nHost: a\r\n{cookies}\r\n")).await;
    let (mut target, address) = world.target_and_address().await;
    target.hear_head().await;
    // Closed, so that every request is seen to connect.
    target.say(&format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{answer}Content-Length: 0\r\n\r\n")).await;
    (address, client.hear_head().await)
}

/// The cookies that an answer's head sets, without their attributes.
fn cookies_of(head: &str) -> Vec<&str> {
    head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")).filter_map(|set| set.split(';').next()).collect()
}

fn number_of(address: IpAddr) -> u8 {
    (1..=3).find(|&number| target_ip(number) == address).unwrap()
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_with_our_cookie_comes_back_to_its_target_and_is_not_given_it_again() {
    let mut world = sticky(Stickiness::LoadBalancer { expiration_s: Some(60) });
    let (address, head) = ask(&mut world, "", "").await;
    let cookies = cookies_of(&head);
    assert!(cookies[0].starts_with("AWSELB=") && cookies[1].starts_with("AWSELBCORS="), "{head}");
    assert!(head.contains(&format!("{};PATH=/;MAX-AGE=60\r\n", cookies[0])), "{head}");
    assert!(head.contains(&format!("{};PATH=/;MAX-AGE=60;SECURE;SAMESITE=None\r\n", cookies[1])), "{head}");
    for cookie in [cookies[0], cookies[1]] {
        for _ in 0..4 {
            let (again, head) = ask(&mut world, &format!("other=1; {cookie}"), "").await;
            assert_eq!(again, address);
            assert!(!head.contains("Set-Cookie"), "{head}");
        }
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_cookie_without_a_period_lasts_for_the_browsers_session() {
    let mut world = sticky(Stickiness::LoadBalancer { expiration_s: None });
    let (_, head) = ask(&mut world, "", "").await;
    assert!(head.contains(";PATH=/\r\n") && !head.contains("MAX-AGE"), "{head}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_session_whose_target_left_moves_to_another_and_hears_of_it() {
    let mut world = sticky(Stickiness::LoadBalancer { expiration_s: None });
    let (address, head) = ask(&mut world, "", "").await;
    let cookie = cookies_of(&head)[0].to_owned();
    world.set_in_service(number_of(address), false);
    let (other, head) = ask(&mut world, &cookie, "").await;
    assert_ne!(other, address);
    let moved = cookies_of(&head)[0];
    assert_ne!(moved, cookie);
    assert_eq!(ask(&mut world, moved, "").await.0, other);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_made_up_cookie_counts_as_none() {
    let mut world = sticky(Stickiness::LoadBalancer { expiration_s: None });
    for made_up in ["AWSELB=", "AWSELB=00", "AWSELB=i-1", "AWSELB=ffffffffffffffffffffffffffffffff"] {
        let (_, head) = ask(&mut world, made_up, "").await;
        assert_eq!(cookies_of(&head).len(), 2, "{made_up}: {head}");
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_applications_session_begins_with_the_applications_cookie() {
    let mut world = sticky(Stickiness::Application { cookie_name: "SID".into() });
    let (_, head) = ask(&mut world, "", "").await;
    assert!(!head.contains("AWSELB"), "{head}");
    let (address, head) = ask(&mut world, "", "Set-Cookie: SID=7; Path=/a_b; Secure\r\n").await;
    let cookie = cookies_of(&head)[1].to_owned();
    assert!(head.contains(&format!("{cookie};Path=/a%5Fb;Secure\r\n")), "{head}");
    assert!(head.contains("Set-Cookie: SID=7; Path=/a_b; Secure\r\n"), "the application's own stays: {head}");
    for _ in 0..4 {
        let (again, head) = ask(&mut world, &format!("SID=7; {cookie}"), "").await;
        assert_eq!(again, address);
        assert!(!head.contains("Set-Cookie"), "{head}");
    }
    // Without the application's cookie the session is over.
    let visited: HashSet<IpAddr> = [
        ask(&mut world, &cookie, "").await.0,
        ask(&mut world, &cookie, "").await.0,
        ask(&mut world, &cookie, "").await.0,
    ]
    .into();
    assert_eq!(visited.len(), 3);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_applications_session_stays_with_the_target_that_took_over() {
    let mut world = sticky(Stickiness::Application { cookie_name: "SID".into() });
    let (address, head) = ask(&mut world, "", "Set-Cookie: SID=7\r\n").await;
    let cookie = cookies_of(&head)[1].to_owned();
    world.set_in_service(number_of(address), false);
    let (other, head) = ask(&mut world, &format!("SID=7; {cookie}"), "").await;
    let moved = cookies_of(&head)[0].to_owned();
    world.set_in_service(number_of(address), true);
    for _ in 0..4 {
        assert_eq!(ask(&mut world, &format!("SID=7; {moved}"), "").await.0, other);
    }
}
