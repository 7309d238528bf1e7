-- What a slice of a site's visitors were at each look, and the looks at which a rule may match. A look is the moment
-- after the last event of a minute in which the visitor did something. Nothing later than a look goes into its row.
WITH
    looks AS
    (
        SELECT
            visitor AS look_visitor,
            max(occurred_at) AS at,
            toStartOfHour(max(occurred_at)) AS look_hour,
            argMax(session, (occurred_at, event_id)) AS look_session
        FROM {database}.events
        WHERE {visits}
        GROUP BY visitor, toStartOfMinute(occurred_at)
    ),
    -- The hours before that of the look are complete in visitor_activity. Its own hour is made once more, from the
    -- events up to the look, by the SELECT that fills visitor_activity.
    activity AS
    (
        SELECT l.at AS at, l.look_session AS look_session, a.visitor AS visitor, a.hour AS hour, {columns}
        FROM {database}.visitor_activity AS a
        INNER JOIN looks AS l ON a.visitor = l.look_visitor
        WHERE a.site = {site:String} AND a.visitor BETWEEN {first} AND {last} AND a.hour < l.look_hour
        UNION ALL
        SELECT at, look_session, visitor, hour, {columns}
        FROM ({running_hour})
    ),
    features AS
    (
        SELECT visitor, at, look_session, toUnixTimestamp64Milli(max(visitor_since)) AS since_ms, {activity_features}
        FROM activity
        GROUP BY visitor, at, look_session
    ){orders}
SELECT visitor, toUnixTimestamp64Milli(at) AS at_ms, look_session, since_ms, {names}
FROM
(
    SELECT f.visitor AS visitor, f.at AS at, f.look_session AS look_session, f.since_ms AS since_ms, {named}
    FROM features AS f {orders_join}
)
WHERE {may_match}
ORDER BY visitor, at
