-- One row for every airline that flew in the month, by code. Delays are minutes, distances miles; totals are whole numbers, so that months add up.
select
    strftime(min(date), '%Y-%m') as month,
    carrier,
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
    arr_delay_total / nullif(arrived, 0)::double as mean_arr_delay,
    on_time / nullif(arrived, 0)::double as on_time_share,
    count(distinct tailnum) as planes,
    count(distinct dest) as destinations
from flights
group by carrier
order by carrier
