-- One row for every origin and local hour of scheduled departure. A wet hour is one in which rain or snow was measured at the origin.
select
    strftime(min(date), '%Y-%m') as month,
    origin,
    hour(scheduled_departure_local)::integer as hour,
    count(*) as flights,
    count(*) filter (cancelled) as cancelled,
    count(*) filter (diverted) as diverted,
    count(dep_delay) as departed,
    count(arr_delay) as arrived,
    count(*) filter (arr_delay < 15) as on_time,
    coalesce(sum(dep_delay), 0)::bigint as dep_delay_total,
    coalesce(sum(arr_delay), 0)::bigint as arr_delay_total,
    sum(distance)::bigint as distance_total,
    dep_delay_total / nullif(departed, 0)::double as mean_dep_delay,
    count(dep_delay) filter (precip > 0) as departed_wet,
    sum(dep_delay) filter (precip > 0) / nullif(departed_wet, 0)::double as mean_dep_delay_wet,
    sum(dep_delay) filter (precip = 0) / nullif(count(dep_delay) filter (precip = 0), 0)::double as mean_dep_delay_dry
from flights
group by origin, hour
order by origin, hour
