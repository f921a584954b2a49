//! PutBucketWebsite, GetBucketWebsite, DeleteBucketWebsite, and websites as browsers see them.

mod common;

use common::Platform;

async fn website(configuration: &str) -> Platform {
    let platform = Platform::with_bucket().await;
    set(&platform, configuration).await;
    for (key, body) in
        [("index.html", "home"), ("docs/index.html", "docs"), ("error.html", "sorry"), ("plain.txt", "0123456789")]
    {
        let put = platform.request("PUT", &format!("/pictures/{key}")).header("x-amz-acl", "public-read");
        put.header("content-type", "text/html").body(body).send().await.expect(200);
    }
    platform
}

async fn set(platform: &Platform, configuration: &str) {
    let xml = format!(
        "<WebsiteConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{configuration}</WebsiteConfiguration>"
    );
    platform.request("PUT", "/pictures?website").body(xml).send().await.expect(200);
}

const INDEX: &str = "<IndexDocument><Suffix>index.html</Suffix></IndexDocument>";
const ERROR: &str = "<ErrorDocument><Key>error.html</Key></ErrorDocument>";

#[tokio::test]
async fn a_directory_shows_its_index_document() {
    let platform = website(INDEX).await;
    for (path, body) in [("/", "home"), ("/index.html", "home"), ("/docs/", "docs"), ("/plain.txt", "0123456789")] {
        let page = platform.visit("pictures", path).await.expect(200);
        assert_eq!((page.text().as_str(), page.header("content-type").as_str()), (body, "text/html"), "{path}");
    }
    let slashless = platform.visit("pictures", "/docs").await.expect(302);
    assert_eq!(slashless.header("location"), "/docs/");
}

#[tokio::test]
async fn ranges_and_conditions_work_on_a_website() {
    let platform = website(INDEX).await;
    let part = platform.visit_with("GET", "pictures", "/plain.txt", &[("range", "bytes=2-4")]).await.expect(206);
    assert_eq!((part.text().as_str(), part.header("content-range").as_str()), ("234", "bytes 2-4/10"));
    let etag = platform.visit("pictures", "/plain.txt").await.header("etag");
    let unchanged = platform.visit_with("GET", "pictures", "/plain.txt", &[("if-none-match", &etag)]).await.expect(304);
    assert!(unchanged.body.is_empty());
    let head = platform.visit_with("HEAD", "pictures", "/plain.txt", &[]).await.expect(200);
    assert_eq!((head.body.len(), head.header("content-length").as_str()), (0, "10"));
}

#[tokio::test]
async fn what_is_not_public_stays_closed() {
    let platform = website(INDEX).await;
    platform.put("/pictures/secret.html", "x").await.expect(200);
    let page = platform.visit("pictures", "/secret.html").await.expect(403);
    assert!(page.text().contains("<li>Code: AccessDenied</li>"), "{}", page.text());
    platform.visit("pictures", "/missing.html").await.expect(403);
    platform.request("PUT", "/pictures?acl").header("x-amz-acl", "public-read").send().await.expect(200);
    let page = platform.visit("pictures", "/missing.html").await.expect(404);
    assert!(page.text().contains("<title>404 Not Found</title>"), "{}", page.text());
    assert!(page.text().contains(
        "<li>Code: NoSuchKey</li>\n<li>Message: The specified key does not exist.</li>\n<li>Key: missing.html</li>"
    ));
    assert_eq!(
        (page.header("x-amz-error-code").as_str(), page.header("content-type").as_str()),
        ("NoSuchKey", "text/html; charset=utf-8")
    );
}

#[tokio::test]
async fn the_error_document_keeps_the_errors_status() {
    let platform = website(&format!("{INDEX}{ERROR}")).await;
    let page = platform.visit("pictures", "/missing").await.expect(403);
    assert_eq!(page.text(), "sorry");
    platform.request("PUT", "/pictures?acl").header("x-amz-acl", "public-read").send().await.expect(200);
    assert_eq!(platform.visit("pictures", "/missing").await.expect(404).text(), "sorry");
    platform.delete("/pictures/error.html").await.expect(204);
    let page = platform.visit("pictures", "/missing").await.expect(404);
    assert!(page.text().contains("An Error Occurred While Attempting to Retrieve a Custom Error Document"));
}

#[tokio::test]
async fn all_requests_may_be_sent_elsewhere() {
    let all =
        "<RedirectAllRequestsTo><HostName>www.example.com</HostName><Protocol>https</Protocol></RedirectAllRequestsTo>";
    let platform = website(all).await;
    let answer = platform.visit("pictures", "/a/b").await.expect(301);
    assert_eq!(answer.header("location"), "https://www.example.com/a/b");
    assert_eq!(platform.get("/pictures?website").await.expect(200).tag("HostName"), "www.example.com");
}

#[tokio::test]
async fn routing_rules_redirect_by_prefix_and_by_error() {
    let rules = "<RoutingRules>\
        <RoutingRule><Condition><KeyPrefixEquals>old/</KeyPrefixEquals></Condition><Redirect><ReplaceKeyPrefixWith>docs/</ReplaceKeyPrefixWith></Redirect></RoutingRule>\
        <RoutingRule><Condition><HttpErrorCodeReturnedEquals>403</HttpErrorCodeReturnedEquals></Condition><Redirect><HostName>app.example.com</HostName><Protocol>https</Protocol><HttpRedirectCode>302</HttpRedirectCode></Redirect></RoutingRule>\
        </RoutingRules>";
    let platform = website(&format!("{INDEX}{ERROR}{rules}")).await;
    let moved = platform.visit("pictures", "/old/index.html").await.expect(301);
    assert_eq!(moved.header("location"), "http://pictures.s3-website-us-east-1.localhost:4566/docs/index.html");
    let failed = platform.visit("pictures", "/missing").await.expect(302);
    assert_eq!(failed.header("location"), "https://app.example.com/missing");
    let shown = platform.get("/pictures?website").await.expect(200);
    assert_eq!(shown.tags("KeyPrefixEquals"), ["old/"]);
    assert_eq!(shown.tags("HttpErrorCodeReturnedEquals"), ["403"]);
    assert_eq!(shown.tag("Suffix"), "index.html");
}

#[tokio::test]
async fn an_object_may_redirect_its_visitors() {
    let platform = website(INDEX).await;
    let put = platform.request("PUT", "/pictures/moved").header("x-amz-acl", "public-read");
    put.header("x-amz-website-redirect-location", "/docs/").body("x").send().await.expect(200);
    assert_eq!(platform.visit("pictures", "/moved").await.expect(301).header("location"), "/docs/");
    assert_eq!(platform.get("/pictures/moved").await.expect(200).text(), "x");
    let bad = platform.request("PUT", "/pictures/bad").header("x-amz-website-redirect-location", "nowhere");
    bad.body("x").send().await.fails(400, "InvalidRedirectLocation");
}

#[tokio::test]
async fn a_website_only_answers_get_and_head() {
    let platform = website(INDEX).await;
    for method in ["PUT", "POST", "DELETE"] {
        let answer = platform.visit_with(method, "pictures", "/", &[]).await.expect(405);
        assert!(answer.text().contains("MethodNotAllowed"));
        assert_eq!(answer.header("allow"), "GET, HEAD");
    }
}

#[tokio::test]
async fn without_a_configuration_there_is_no_website() {
    let platform = Platform::with_bucket().await;
    platform.get("/pictures?website").await.fails(404, "NoSuchWebsiteConfiguration");
    let page = platform.visit("pictures", "/").await.expect(404);
    assert!(
        page.text().contains("<li>Code: NoSuchWebsiteConfiguration</li>")
            && page.text().contains("<li>BucketName: pictures</li>")
    );
    assert!(platform.visit("nowhere", "/").await.expect(404).text().contains("NoSuchBucket"));
    set(&platform, INDEX).await;
    platform.get("/pictures?website").await.expect(200);
    platform.delete("/pictures?website").await.expect(204);
    platform.get("/pictures?website").await.fails(404, "NoSuchWebsiteConfiguration");
}

#[tokio::test]
async fn configurations_that_say_nothing_or_too_much_are_refused() {
    let platform = Platform::with_bucket().await;
    let all = "<RedirectAllRequestsTo><HostName>www.example.com</HostName></RedirectAllRequestsTo>";
    let both = "<RoutingRules><RoutingRule><Redirect><ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith></Redirect></RoutingRule></RoutingRules>";
    for configuration in [
        String::new(),
        format!("{all}{INDEX}"),
        "<IndexDocument><Suffix>a/b</Suffix></IndexDocument>".to_owned(),
        format!("{INDEX}{both}"),
        format!("{INDEX}<RoutingRules><RoutingRule><Redirect/></RoutingRule></RoutingRules>"),
    ] {
        let xml = format!("<WebsiteConfiguration>{configuration}</WebsiteConfiguration>");
        let answer = platform.request("PUT", "/pictures?website").body(xml).send().await;
        assert_eq!(answer.status.as_u16(), 400, "{configuration}: {}", answer.text());
    }
}
