-- Every experiment of one offer that is still kept, a row for each day and arm. report_lift_all adds up and finalises.
SELECT
    experiment,
    holdout,
    arm,
    day,
    visitors,
    served,
    shown,
    orders,
    converted,
    unconverted,
    toFloat64(revenue) AS revenue_site,
    revenue_squared
FROM {database}.report_lift_all(site = ?, timezone = ?, since = ?, until = ?)
WHERE offer = ? AND environment = ?
ORDER BY experiment, day, holdout, arm
