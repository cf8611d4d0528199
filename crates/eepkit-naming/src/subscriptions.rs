//! The schedule of subscriptions, and the handling of their responses.

use eepkit_wire::rand_core::Rng;

use crate::{
    download::DownloadPlan,
    subscription_state::SubscriptionState,
    subscription_url::{SubscriptionUrl, SubscriptionUrlError},
};

/// The subscriptions of a user: decides when each is fetched, and what a response means.
///
/// The machine does no I/O. Times are in seconds since the epoch. A driver
///
/// 1. calls [`Subscriptions::poll`] until it returns `None`, then waits until
///    [`Subscriptions::next_poll`],
/// 2. starts each [`Fetch`] and passes the response to [`Subscriptions::respond`],
/// 3. downloads the body with a [`Download`](crate::Download) and merges it with a
///    [`Merge`](crate::Merge) if the answer is [`Answer::Download`],
/// 4. calls [`Subscriptions::finish`] when the fetch has ended, and stores the state.
///
/// A failed fetch is repeated after a minute, then after twice the time of the attempt before, at
/// most after the interval. It does not delay other subscriptions.
///
/// ```
/// use eepkit_naming::{Answer, Response, SubscriptionEvent, Subscriptions};
///
/// let mut subscriptions = Subscriptions::default();
/// subscriptions.add("http://example.i2p/hosts.txt".parse()?, None, 1_000)?;
/// let start = subscriptions.next_poll().expect("one is scheduled");
/// let Some(SubscriptionEvent::Fetch(fetch)) = subscriptions.poll(start) else {
///     panic!("it is due");
/// };
/// let response = Response {
///     status: 304,
///     ..Response::default()
/// };
/// assert_eq!(subscriptions.respond(fetch.id, &response, start), Answer::NotModified);
/// subscriptions.finish(fetch.id, Ok("not modified"), start + 5, &mut rand::rng());
/// assert!(subscriptions.next_poll() >= Some(start + 12 * 60 * 60));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Subscriptions {
    config: SubscriptionConfig,
    items: Vec<Item>,
    next_id: u64,
}

/// Times and limits of subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionConfig {
    interval: u64,
    first_delay: u64,
    limit: u64,
}

/// Identifies one fetch of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FetchId(u64);

/// A request that the driver must send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Identifies the fetch in calls of the machine.
    pub id: FetchId,
    /// The address.
    pub url: SubscriptionUrl,
    /// The headers of the request, apart from those of every request.
    pub headers: Vec<(&'static str, String)>,
    /// The time at which the machine ends the fetch, in seconds since the epoch.
    pub deadline: u64,
}

/// What the driver must do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionEvent {
    /// Send this request.
    Fetch(Fetch),
    /// Stop this fetch: its deadline has passed, or its subscription was removed.
    Abort(FetchId),
}

/// The parts of a response that the machine uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header `ETag`.
    pub etag: Option<String>,
    /// The header `Last-Modified`.
    pub last_modified: Option<String>,
    /// The header `Location`.
    pub location: Option<String>,
    /// The header `Content-Length`.
    pub content_length: Option<u64>,
    /// The header `Content-Encoding`.
    pub content_encoding: Option<String>,
}

/// What a response means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Download the body, and merge it when it is complete.
    Download(DownloadPlan),
    /// The list has not changed. This is a success.
    NotModified,
    /// Send this request instead. The fetch goes on.
    Redirect(Fetch),
    /// The fetch has failed for this reason.
    Failed(String),
}

/// The state of a subscription, for users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionStatus {
    /// The address.
    pub url: SubscriptionUrl,
    /// What is stored between runs.
    pub state: SubscriptionState,
    /// Whether it is being fetched.
    pub is_running: bool,
    /// The time of the next fetch, in seconds since the epoch.
    pub next: u64,
}

/// The reason why a subscription was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// There are too many.
    #[error("there are {} subscriptions, which is the limit", Subscriptions::MAX)]
    TooMany,
    /// It exists.
    #[error("the subscription exists")]
    Exists,
}

impl Subscriptions {
    /// The largest number of subscriptions. Chosen because few users have more than ten.
    pub const MAX: usize = 100;

    /// Creates a machine without subscriptions.
    pub fn new(config: SubscriptionConfig) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    /// Adds a subscription with its stored state.
    ///
    /// One that was never fetched is due after 15 seconds, so that new users have names soon. Others
    /// are due an interval after their last fetch, but not before the first delay has passed.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`] if it exists or there are [`Subscriptions::MAX`].
    pub fn add(
        &mut self,
        url: SubscriptionUrl,
        state: Option<SubscriptionState>,
        now: u64,
    ) -> Result<(), SubscribeError> {
        if self.items.iter().any(|item| item.url == url) {
            return Err(SubscribeError::Exists);
        }
        if self.items.len() >= Self::MAX {
            return Err(SubscribeError::TooMany);
        }
        let state = state.unwrap_or_default();
        let due = match state.fetched {
            None => now.saturating_add(NEW_DELAY),
            // A time in the future is that of a clock that was wrong.
            Some(time) if time > now => now.saturating_add(self.config.first_delay),
            Some(time) => time
                .saturating_add(self.config.interval)
                .max(now.saturating_add(self.config.first_delay)),
        };
        self.items.push(Item {
            url,
            state,
            due,
            running: None,
            is_removed: false,
        });
        Ok(())
    }

    /// Removes a subscription, and returns whether it existed. Its names stay. A fetch of it is
    /// aborted.
    pub fn remove(&mut self, url: &SubscriptionUrl) -> bool {
        let Some(at) = self.position(url) else {
            return false;
        };
        match self.items[at].running {
            None => drop(self.items.remove(at)),
            Some(_) => self.items[at].is_removed = true,
        }
        true
    }

    /// Makes a subscription due at once. Returns whether it exists.
    pub fn fetch_now(&mut self, url: &SubscriptionUrl, now: u64) -> bool {
        let at = self.position(url);
        if let Some(at) = at {
            self.items[at].due = now;
        }
        at.is_some()
    }

    /// The next thing that the driver must do, if any.
    pub fn poll(&mut self, now: u64) -> Option<SubscriptionEvent> {
        for at in 0..self.items.len() {
            let item = &mut self.items[at];
            let Some(running) = &item.running else {
                continue;
            };
            if !item.is_removed && running.deadline > now {
                continue;
            }
            let id = running.id;
            if item.is_removed {
                self.items.remove(at);
            } else {
                item.failed("no complete answer in time", &self.config, now, None);
            }
            return Some(SubscriptionEvent::Abort(id));
        }
        let running = self.items.iter().filter(|item| item.running.is_some());
        if running.count() >= MAX_RUNNING {
            return None;
        }
        let mut idle = self.items.iter_mut();
        let item = idle.find(|item| item.running.is_none() && item.due <= now)?;
        self.next_id += 1;
        let running = Running {
            id: FetchId(self.next_id),
            url: item.url.clone(),
            deadline: now.saturating_add(FETCH_LIMIT),
            redirects: 0,
            etag: None,
            last_modified: None,
            is_new: false,
        };
        let fetch = item.fetch(&running);
        item.running = Some(running);
        item.state.attempted = Some(now);
        Some(SubscriptionEvent::Fetch(fetch))
    }

    /// The time at which [`Subscriptions::poll`] has something to do; `None` if there is nothing
    /// until the next call of another function.
    pub fn next_poll(&self) -> Option<u64> {
        let running = self.items.iter().filter_map(|item| item.running.as_ref());
        let is_full = running.clone().count() >= MAX_RUNNING;
        let idle = self.items.iter().filter(|item| item.running.is_none());
        let removed = self.items.iter().filter(|item| item.is_removed);
        running
            .map(|running| running.deadline)
            .chain(idle.filter(|_| !is_full).map(|item| item.due))
            .chain(removed.map(|_| 0))
            .min()
    }

    /// Decides what a response means. The fetch goes on until [`Subscriptions::finish`].
    pub fn respond(&mut self, id: FetchId, response: &Response, now: u64) -> Answer {
        let limit = self.config.limit;
        let Some(item) = self.running(id) else {
            return Answer::Failed("the fetch was aborted".to_owned());
        };
        item.respond(response, limit, now)
    }

    /// Ends a fetch: `Ok` with a summary if the list was merged or has not changed, `Err` with the
    /// reason otherwise. `rng` varies the time of the next fetch.
    ///
    /// Returns the state to store, unless the fetch was aborted.
    pub fn finish(
        &mut self,
        id: FetchId,
        result: Result<&str, &str>,
        now: u64,
        rng: &mut impl Rng,
    ) -> Option<(SubscriptionUrl, SubscriptionState)> {
        let config = self.config.clone();
        let item = self.running(id)?;
        match result {
            Ok(summary) => item.succeeded(summary, &config, now, rng),
            Err(reason) => item.failed(reason, &config, now, Some(rng)),
        }
        Some((item.url.clone(), item.state.clone()))
    }

    /// The state of each subscription.
    pub fn status(&self) -> impl Iterator<Item = SubscriptionStatus> {
        let items = self.items.iter().filter(|item| !item.is_removed);
        items.map(|item| SubscriptionStatus {
            url: item.url.clone(),
            state: item.state.clone(),
            is_running: item.running.is_some(),
            next: item.due,
        })
    }

    fn position(&self, url: &SubscriptionUrl) -> Option<usize> {
        let mut items = self.items.iter();
        items.position(|item| item.url == *url && !item.is_removed)
    }

    fn running(&mut self, id: FetchId) -> Option<&mut Item> {
        self.items
            .iter_mut()
            .find(|item| !item.is_removed && item.running.as_ref().is_some_and(|run| run.id == id))
    }
}

impl SubscriptionConfig {
    /// The smallest interval, in seconds: one hour, as in Java.
    pub const MIN_INTERVAL: u64 = 60 * 60;

    /// Sets the time between fetches, in seconds; at least one hour. Default: 12 hours.
    #[must_use]
    pub fn with_interval(mut self, seconds: u64) -> Self {
        self.interval = seconds.max(Self::MIN_INTERVAL);
        self
    }

    /// Sets the time between the start and the first fetch of lists that were fetched before, in
    /// seconds. Default: 3 minutes, because tunnels are still being built before.
    #[must_use]
    pub fn with_first_delay(mut self, seconds: u64) -> Self {
        self.first_delay = seconds;
        self
    }

    /// Sets the largest size of a list, in bytes. Default: 32 MiB, about 60,000 names.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }
}

impl Default for SubscriptionConfig {
    fn default() -> Self {
        Self {
            interval: 12 * 60 * 60,
            first_delay: 3 * 60,
            limit: 32 << 20,
        }
    }
}

#[derive(Debug, Clone)]
struct Item {
    url: SubscriptionUrl,
    state: SubscriptionState,
    due: u64,
    running: Option<Running>,
    /// Whether it was removed during a fetch, which the driver must abort.
    is_removed: bool,
}

#[derive(Debug, Clone)]
struct Running {
    id: FetchId,
    /// The address of the current request.
    url: SubscriptionUrl,
    deadline: u64,
    redirects: usize,
    etag: Option<String>,
    last_modified: Option<String>,
    /// Whether the response has a body, whose validators replace the stored ones.
    is_new: bool,
}

impl Item {
    fn fetch(&self, running: &Running) -> Fetch {
        let mut headers = vec![("Accept-Encoding", "gzip".to_owned())];
        if let Some(etag) = &self.state.etag {
            headers.push(("If-None-Match", etag.clone()));
        }
        if let Some(time) = &self.state.last_modified {
            headers.push(("If-Modified-Since", time.clone()));
        }
        Fetch {
            id: running.id,
            url: running.url.clone(),
            headers,
            deadline: running.deadline,
        }
    }

    fn respond(&mut self, response: &Response, limit: u64, now: u64) -> Answer {
        let Some(running) = &mut self.running else {
            return Answer::Failed("the fetch was aborted".to_owned());
        };
        let failed = |reason: &str| Answer::Failed(reason.to_owned());
        match response.status {
            200 => {
                let is_gzip = match response.content_encoding.as_deref() {
                    None | Some("" | "identity") => false,
                    // Java's server tunnels compress under their own name.
                    Some("gzip" | "x-gzip" | "x-i2p-gzip") => true,
                    Some(_) => return failed("the site used an unknown content encoding"),
                };
                if response.content_length.is_some_and(|length| length > limit) {
                    return Answer::Failed(format!("the list has more than {limit} bytes"));
                }
                running.etag = validator(response.etag.as_deref());
                running.last_modified = validator(response.last_modified.as_deref());
                running.is_new = true;
                Answer::Download(DownloadPlan {
                    length: response.content_length,
                    is_gzip,
                    limit,
                })
            }
            304 => Answer::NotModified,
            301 | 302 | 303 | 307 | 308 => {
                let location = response.location.as_deref().unwrap_or_default();
                let target = running.url.redirected(location);
                running.redirects += 1;
                match target {
                    Ok(_) if running.redirects > MAX_REDIRECTS => failed("too many redirects"),
                    Ok(url) => {
                        running.url = url;
                        running.deadline = now.saturating_add(FETCH_LIMIT);
                        let running = running.clone();
                        Answer::Redirect(self.fetch(&running))
                    }
                    Err(SubscriptionUrlError::Host | SubscriptionUrlError::Scheme) => {
                        failed("the site redirects to an address outside I2P")
                    }
                    Err(_) => failed("the site redirects to a malformed address"),
                }
            }
            status => Answer::Failed(format!("the site answered with status {status}")),
        }
    }

    fn succeeded(
        &mut self,
        summary: &str,
        config: &SubscriptionConfig,
        now: u64,
        rng: &mut impl Rng,
    ) {
        if let Some(running) = self.running.take()
            && running.is_new
        {
            self.state.etag = running.etag;
            self.state.last_modified = running.last_modified;
        }
        self.state.fetched = Some(now);
        self.state.failures = 0;
        summary.clone_into(&mut self.state.result);
        self.due = now + config.interval + up_to(config.interval / JITTER, rng);
    }

    fn failed(
        &mut self,
        reason: &str,
        config: &SubscriptionConfig,
        now: u64,
        rng: Option<&mut dyn Rng>,
    ) {
        self.running = None;
        let doublings = self.state.failures.min(MAX_DOUBLINGS);
        self.state.failures = self.state.failures.saturating_add(1);
        reason.clone_into(&mut self.state.result);
        let wait = (FIRST_RETRY << doublings).min(config.interval);
        self.due = now + wait + rng.map_or(0, |rng| up_to(wait / JITTER, rng));
    }
}

/// Returns the value of `ETag` or `Last-Modified`, if it can be sent back in a header.
fn validator(value: Option<&str>) -> Option<String> {
    let value = value?.trim();
    let can_be_sent = value
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let fits = (1..=MAX_VALIDATOR).contains(&value.len());
    (fits && can_be_sent).then(|| value.to_owned())
}

fn up_to(limit: u64, rng: &mut (impl Rng + ?Sized)) -> u64 {
    rng.next_u64() % (limit + 1)
}

/// The time before a new subscription is fetched, in seconds. Chosen so that names are there within
/// half a minute, and several that a user adds together are fetched together.
const NEW_DELAY: u64 = 15;

/// The time before the first repetition of a failed fetch, in seconds. Chosen because most failures
/// after the start are sites that could not be reached yet.
const FIRST_RETRY: u64 = 60;

/// The number of failures after which the time between repetitions does not grow any more. Chosen
/// so that it reaches the longest interval of users, weeks.
const MAX_DOUBLINGS: u32 = 14;

/// The divisor of a time by which the next fetch is delayed at random. Chosen so that users who
/// started together do not fetch together.
const JITTER: u64 = 10;

/// The longest time of a fetch, in seconds. Chosen because a list of 4 MiB takes as long at 7 KiB/s.
const FETCH_LIMIT: u64 = 10 * 60;

/// The largest number of fetches at a time. Chosen so that one slow site does not delay others,
/// while the tunnels serve the user.
const MAX_RUNNING: usize = 3;

/// The largest number of redirects of a fetch. Chosen as usual clients have few more.
const MAX_REDIRECTS: usize = 3;

/// The largest length of a validator, in bytes. Chosen above the 128 of usual servers.
const MAX_VALIDATOR: usize = 512;

#[cfg(test)]
mod tests;
