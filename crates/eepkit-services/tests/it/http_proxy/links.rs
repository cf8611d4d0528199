//! Links that give a name a destination, and the pages of the proxy for them.

use super::*;

/// The link with a helper, and the redirect that it leads to.
async fn follow(lab: &Lab, link: &str) -> String {
    let page = lab.get(link).await;
    assert_eq!(status(&page), "302", "{page}");
    header(&page, "location").expect("a redirect").to_owned()
}

async fn form(lab: &Lab, url: &str) -> (String, String) {
    let page = lab
        .ask(&get(url, "Accept: text/html\r\nConnection: close\r\n"))
        .await;
    let at = page
        .find("name=\"nonce\" value=\"")
        .unwrap_or_else(|| panic!("{page}"));
    let nonce = page[at + 20..]
        .split('"')
        .next()
        .expect("a value")
        .to_owned();
    (page, nonce)
}

async fn post(lab: &Lab, headers: &str, body: &str) -> String {
    let length = body.len();
    lab.ask(&format!(
        "POST http://proxy.i2p/helper HTTP/1.1\r\nHost: proxy.i2p\r\nContent-Length: {length}\r\n\
         {headers}Connection: close\r\n\r\n{body}"
    ))
    .await
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n\
    Origin: http://proxy.i2p\r\nSec-Fetch-Site: same-origin\r\n";

#[tokio::test(start_paused = true)]
async fn a_name_is_added_after_confirmation_only() {
    let lab = Lab::new().await;
    let host = lab.host("unrelated.i2p").await;
    let listener = host.listen(80).expect("free");
    let base64 = host.destination().to_base64();
    let link = format!("http://new.i2p/page?x=1&i2paddresshelper={base64}&y=%3Cb%3E");
    let confirm = follow(&lab, &link).await;
    assert!(
        confirm.starts_with("http://proxy.i2p/helper?url=http%3A%2F%2Fnew.i2p"),
        "{confirm}"
    );
    let (page, nonce) = form(&lab, &confirm).await;
    assert_eq!(status(&page), "200");
    assert!(page.contains(&host.destination().to_b32()), "{page}");
    assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
    let name = "new.i2p".parse().expect("a name");
    assert_eq!(lab.books.look_up(&name).expect("memory"), None);

    // Without the nonce, from another site, as another type, nothing is added.
    let body = format!("nonce={nonce}&book=user");
    for (headers, body, expected) in [
        (FORM, "nonce=1&book=user", "form_expired"),
        (FORM, "book=user", "form_expired"),
        (
            "Content-Type: application/x-www-form-urlencoded\r\nOrigin: http://evil.i2p\r\n",
            &body,
            "foreign_form",
        ),
        (
            "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: cross-site\r\n",
            &body,
            "foreign_form",
        ),
        ("Content-Type: text/plain\r\n", &body, "bad_request"),
        (FORM, &format!("nonce={nonce}&book=shared"), "bad_request"),
    ] {
        let page = post(&lab, headers, body).await;
        assert_eq!(code(&page), expected, "{page}");
    }
    let get_form = format!("http://proxy.i2p/helper?nonce={nonce}&book=user");
    assert_eq!(code(&lab.get(&get_form).await), "no_page");
    assert_eq!(lab.books.look_up(&name).expect("memory"), None);

    let page = post(&lab, FORM, &body).await;
    assert_eq!(status(&page), "303", "{page}");
    assert_eq!(
        header(&page, "location"),
        Some("http://new.i2p/page?x=1&y=%3Cb%3E")
    );
    let found = lab
        .books
        .look_up(&name)
        .expect("memory")
        .expect("it was added");
    assert_eq!(found.book, Book::User);
    assert_eq!(code(&post(&lab, FORM, &body).await), "form_expired");

    // The name works, and the link leads to the page.
    assert_eq!(
        follow(&lab, &link).await,
        "http://new.i2p/page?x=1&y=%3Cb%3E"
    );
    let (_, page) = tokio::join!(answer(&listener, OK), lab.get("http://new.i2p/"));
    assert_eq!(status(&page), "200", "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_contradicts_the_address_book_is_a_conflict() {
    let lab = Lab::new().await;
    let (mine, other) = (lab.host("a.i2p").await, lab.host("b.i2p").await);
    let listener = other.listen(81).expect("free");
    let name = "bank.i2p".parse().expect("a name");
    let entry = eepkit_naming::Entry::new(mine.destination().clone());
    lab.books.put(Book::User, &name, &entry).expect("memory");
    let b32 = other.destination().to_b32();
    let link = format!("http://bank.i2p:81/?i2paddresshelper={b32}");
    let (page, nonce) = form(&lab, &follow(&lab, &link).await).await;
    assert_eq!((status(&page), code(&page)), ("409", "address_conflict"));
    assert!(
        page.contains(&b32) && page.contains(&mine.destination().to_b32()),
        "{page}"
    );
    // A request with a body is never forwarded to an unconfirmed destination.
    let request = format!(
        "POST {link} HTTP/1.1\r\nHost: bank.i2p:81\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(code(&lab.ask(&request).await), "unconfirmed_address");
    // Opening it once does not change the book.
    let page = post(&lab, FORM, &format!("nonce={nonce}&book=once")).await;
    assert_eq!(
        header(&page, "location"),
        Some("http://bank.i2p:81/"),
        "{page}"
    );
    let (_, page) = tokio::join!(answer(&listener, OK), lab.get("http://bank.i2p:81/"));
    assert_eq!(status(&page), "200", "{page}");
    let found = lab.books.look_up(&name).expect("memory").expect("there");
    assert_eq!(found.entry.destination(), Some(mine.destination()));
    assert!(lab.get("http://proxy.i2p/").await.contains("bank.i2p"));
}

#[tokio::test(start_paused = true)]
async fn bad_helpers_are_refused_and_can_be_disabled() {
    let lab = Lab::new().await;
    for link in [
        "http://a.i2p/?i2paddresshelper=",
        "http://a.i2p/?i2paddresshelper=%3Cscript%3E",
        "http://a.i2p/?i2paddresshelper=b.i2p",
        "http://router.i2p/?i2paddresshelper=b.i2p",
    ] {
        assert_eq!(code(&lab.get(link).await), "bad_address_helper", "{link}");
    }
    let url = "http://proxy.i2p/helper?url=http%3A%2F%2F%3Cscript%3E%2F%3Fi2paddresshelper%3Dx";
    assert_eq!(status(&lab.get(url).await), "400");
    let lab = Lab::with(|config| config.address_helper(false)).await;
    let (listener, _) = lab.site("site.i2p").await;
    let link = "http://site.i2p/?i2paddresshelper=x";
    let (seen, _) = tokio::join!(answer(&listener, OK), lab.get(link));
    assert!(
        seen.starts_with("GET /?i2paddresshelper=x HTTP/1.1\r\n"),
        "{seen}"
    );
}
