//! The Date header field (RFC 3261 section 20.17: always GMT).

use super::write::decimal;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 as `Sat, 13 Nov 2010 23:29:00 GMT`: each 200 to a REGISTER has one.
pub fn sip_date(unix_s: u64) -> Vec<u8> {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    let (year, month, day) = civil(days);
    let weekday = DAYS.get((days % 7) as usize).copied().unwrap_or_default();
    let month = MONTHS.get(month.saturating_sub(1) as usize).copied().unwrap_or_default();
    let mut text = Vec::with_capacity(32);
    text.extend_from_slice(weekday.as_bytes());
    text.extend_from_slice(b", ");
    two_digits(&mut text, day);
    text.push(b' ');
    text.extend_from_slice(month.as_bytes());
    text.push(b' ');
    decimal(&mut text, year);
    let time = [(b' ', second / 3_600), (b':', second / 60 % 60), (b':', second % 60)];
    for (before, number) in time {
        text.push(before);
        two_digits(&mut text, number);
    }
    text.extend_from_slice(b" GMT");
    text
}

fn two_digits(text: &mut Vec<u8>, number: u64) {
    if number < 10 {
        text.push(b'0');
    }
    decimal(text, number);
}

/// Seconds since 1970 as `2010-11-13 23:29:00 UTC`.
pub fn utc(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400, unix_s % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a day since 1970: Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", civil_from_days, for days that are not negative.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days.saturating_add(719_468);
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era.saturating_mul(400).saturating_add(year_of_era) + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_289_690_940, "Sat, 13 Nov 2010 23:29:00 GMT"),
            (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
        ] {
            assert_eq!(sip_date(unix_s), text.as_bytes());
        }
        assert!(sip_date(u64::MAX).ends_with(b" GMT"));
    }
}
