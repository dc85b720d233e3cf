//! The answers of Nexmark's queries in plain SQL over all rows at once, written by hand and run by
//! DataFusion: nothing here passes through the planner that is tested.
//!
//! Of rows that tie, the first is the one whose columns are least, from the left.

/// Rows of windows of ten seconds that begin each two, and of windows that follow each other.
const HOPS: &str = "SELECT auction, w, COUNT(*) AS num FROM
    (SELECT auction, ms - ms % 2000 - o AS w FROM bid CROSS JOIN
    (VALUES (0), (2000), (4000), (6000), (8000)) AS v(o)) GROUP BY auction, w";

/// Bids on auctions that were open.
const OPEN: &str = "FROM auction AS a JOIN bid AS b ON a.id = b.auction
    AND b.ms >= a.ms AND b.ms <= a.expires_ms";

const DAY: &str = "to_char(\"dateTime\", '%Y-%m-%d')";

const STATISTICS: &str = "COUNT(*) AS n,
    COUNT(*) FILTER (WHERE price < 10000) AS n1,
    COUNT(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS n2,
    COUNT(*) FILTER (WHERE price >= 1000000) AS n3,
    COUNT(DISTINCT bidder) AS b,
    COUNT(DISTINCT CASE WHEN price < 10000 THEN bidder END) AS b1,
    COUNT(DISTINCT CASE WHEN price >= 10000 AND price < 1000000 THEN bidder END) AS b2,
    COUNT(DISTINCT CASE WHEN price >= 1000000 THEN bidder END) AS b3,
    COUNT(DISTINCT auction) AS a,
    COUNT(DISTINCT CASE WHEN price < 10000 THEN auction END) AS a1,
    COUNT(DISTINCT CASE WHEN price >= 10000 AND price < 1000000 THEN auction END) AS a2,
    COUNT(DISTINCT CASE WHEN price >= 1000000 THEN auction END) AS a3";

/// Returns the query that answers Nexmark's query `name`.
pub(super) fn answer(name: &str) -> String {
    match name {
        "q0" => "SELECT auction, bidder, price, \"dateTime\", extra FROM bid".to_owned(),
        "q1" => {
            "SELECT auction, bidder, price * 908 / 1000.0, \"dateTime\", extra FROM bid".to_owned()
        }
        "q2" => "SELECT auction, price FROM bid WHERE auction % 123 = 0".to_owned(),
        "q3" => "SELECT p.name, p.city, p.state, a.id FROM person AS p JOIN auction AS a
            ON p.id = a.seller WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')"
            .to_owned(),
        "q4" => format!(
            "SELECT category, SUM(final) / COUNT(final) FROM
            (SELECT a.id, a.category, MAX(b.price) AS final {OPEN} GROUP BY a.id, a.category)
            GROUP BY category"
        ),
        "q5" => format!(
            "SELECT auction, num FROM
            (SELECT *, MAX(num) OVER (PARTITION BY w) AS most FROM ({HOPS})) WHERE num = most"
        ),
        "q6" => format!(
            "SELECT seller, SUM(final) OVER last / COUNT(final) OVER last AS mean FROM
            (SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY final DESC, ms, seller) AS place
             FROM (SELECT a.id, a.seller, b.price AS final, b.ms {OPEN})) WHERE place = 1
            WINDOW last AS (PARTITION BY seller ORDER BY ms, final
             ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)"
        ),
        "q7" => "SELECT b.auction, b.price, b.bidder, b.\"dateTime\", b.extra FROM bid AS b JOIN
            (SELECT ms - ms % 10000 AS w, MAX(price) AS most FROM bid GROUP BY w) AS m
            ON b.price = m.most AND b.ms >= m.w AND b.ms <= m.w + 10000"
            .to_owned(),
        "q8" => "SELECT DISTINCT p.id, p.name, to_timestamp_millis(p.ms - p.ms % 10000) AS w
            FROM person AS p JOIN auction AS a
            ON p.id = a.seller AND p.ms - p.ms % 10000 = a.ms - a.ms % 10000"
            .to_owned(),
        "q9" => format!(
            "SELECT id, \"itemName\", description, \"initialBid\", reserve, a_time, expires, seller,
             category, a_extra, auction, bidder, price, b_time, b_extra FROM
            (SELECT *, ROW_NUMBER() OVER (PARTITION BY id
              ORDER BY price DESC, b_time, auction, bidder, b_extra) AS place
             FROM (SELECT a.*, a.\"dateTime\" AS a_time, a.extra AS a_extra, b.auction, b.bidder,
              b.price, b.\"dateTime\" AS b_time, b.extra AS b_extra {OPEN})) WHERE place = 1"
        ),
        "q10" => format!(
            "SELECT auction, bidder, price, \"dateTime\", extra, {DAY},
            to_char(\"dateTime\", '%H:%M') FROM bid"
        ),
        "q11" => "SELECT bidder, COUNT(*), to_timestamp_millis(MIN(ms)) AS a,
            to_timestamp_millis(MAX(ms) + 10000) AS b FROM
            (SELECT *, SUM(f) OVER (PARTITION BY bidder ORDER BY ms) AS session FROM
             (SELECT *, CASE WHEN ms - LAG(ms) OVER (PARTITION BY bidder ORDER BY ms) <= 10000
              THEN 0 ELSE 1 END AS f FROM bid)) GROUP BY bidder, session"
            .to_owned(),
        // Whatever windows the clock makes, they have all bids of a bidder.
        "q12" => "SELECT bidder, COUNT(*) FROM bid GROUP BY bidder".to_owned(),
        "q13" => "SELECT auction, bidder, price, \"dateTime\", 'value ' || (auction % 10000) AS v
            FROM bid WHERE auction % 2 = 0"
            .to_owned(),
        "q14" => "SELECT auction, bidder, price * 908 / 1000.0 AS euros,
            CASE WHEN hour BETWEEN 8 AND 18 THEN 'dayTime'
             WHEN hour <= 6 OR hour >= 20 THEN 'nightTime' ELSE 'otherTime' END AS time,
            \"dateTime\", extra, LENGTH(extra) - LENGTH(REPLACE(extra, 'c', '')) AS c FROM
            (SELECT *, date_part('hour', \"dateTime\") AS hour FROM bid)
            WHERE price * 908 > 1000000000 AND price * 908 < 50000000000"
            .to_owned(),
        "q15" => format!("SELECT {DAY} AS day, {STATISTICS} FROM bid GROUP BY day"),
        "q16" => format!(
            "SELECT channel, {DAY} AS day, MAX(to_char(\"dateTime\", '%H:%M')) AS minute,
            {STATISTICS} FROM bid GROUP BY channel, day"
        ),
        "q17" => format!(
            "SELECT auction, {DAY} AS day, COUNT(*) AS n,
            COUNT(*) FILTER (WHERE price < 10000) AS n1,
            COUNT(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS n2,
            COUNT(*) FILTER (WHERE price >= 1000000) AS n3, MIN(price) AS least,
            MAX(price) AS most, SUM(price) / COUNT(price) AS mean, SUM(price) AS total
            FROM bid GROUP BY auction, day"
        ),
        "q18" => "SELECT auction, bidder, price, channel, url, \"dateTime\", extra FROM
            (SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction
             ORDER BY ms DESC, price, channel, url, extra) AS place FROM bid) WHERE place = 1"
            .to_owned(),
        "q19" => "SELECT auction, bidder, price, channel, url, \"dateTime\", extra, place FROM
            (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction
             ORDER BY price DESC, bidder, channel, url, ms, extra) AS place FROM bid)
            WHERE place <= 10"
            .to_owned(),
        "q20" => "SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.\"dateTime\", b.extra,
            a.\"itemName\", a.description, a.\"initialBid\", a.reserve, a.\"dateTime\" AS opened,
            a.expires, a.seller, a.category, a.extra AS a_extra
            FROM bid AS b JOIN auction AS a ON b.auction = a.id AND a.category = 10"
            .to_owned(),
        "q21" => "SELECT auction, bidder, price, channel, id FROM
            (SELECT *, CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1'
              WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
              ELSE regexp_match(url, '(&|^)channel_id=([^&]*)')[2] END AS id FROM bid)
            WHERE id IS NOT NULL"
            .to_owned(),
        "q22" => "SELECT auction, bidder, price, channel, split_part(url, '/', 4) AS a,
            split_part(url, '/', 5) AS b, split_part(url, '/', 6) AS c FROM bid"
            .to_owned(),
        "q23" => "SELECT b.bidder, b.price, b.channel, b.url, b.extra AS b_extra, p.id, p.name,
            p.\"emailAddress\", p.\"creditCard\", p.city, p.state, p.extra AS p_extra,
            a.\"itemName\", a.description, a.\"initialBid\", a.reserve, a.\"dateTime\", a.expires,
            a.seller, a.category, a.extra AS a_extra
            FROM person AS p JOIN auction AS a ON p.id = a.seller JOIN bid AS b ON p.id = b.bidder"
            .to_owned(),
        other => panic!("no answer for `{other}`"),
    }
}
