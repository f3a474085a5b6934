"""What the organisation permits: licences, advisories, and the rules that stand under ``policy:``. No I/O but one reader."""
