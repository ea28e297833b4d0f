// saving
export function begin() {}
