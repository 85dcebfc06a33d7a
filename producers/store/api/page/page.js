// Sends a transfer and shows its life. Whatever comes from outside becomes text only.
"use strict";

const form = document.getElementById("payment");
const list = document.getElementById("transfers");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(form));
  const token = fields.token;
  delete fields.token;
  for (const name of ["debit_account", "credit_account", "amount"]) {
    // A number only where JavaScript can hold it; the API says what is wrong with the rest.
    const number = Number(fields[name]);
    if (fields[name].trim() !== "" && Number.isSafeInteger(number)) fields[name] = number;
  }
  // The id is made before the first send, so that sending again is safe.
  const id = newId();
  const shown = show(id, fields);
  send(id, fields, token)
    .then((status) => {
      shown.state(status);
      return follow(id, token, shown);
    })
    .catch((error) => shown.failed(error.message));
});

function newId() {
  const octets = crypto.getRandomValues(new Uint8Array(16));
  let now = Date.now();
  for (let at = 5; at >= 0; at--) {
    octets[at] = now % 256;
    now = Math.floor(now / 256);
  }
  octets[6] = (octets[6] & 0x0f) | 0x70;
  octets[8] = (octets[8] & 0x3f) | 0x80;
  const hex = Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

function headers(token, more) {
  return token ? { ...more, Authorization: "Bearer " + token } : { ...more };
}

async function send(id, fields, token) {
  const answer = await fetch("/v1/transfers/" + id, {
    method: "PUT",
    headers: headers(token, { "Content-Type": "application/json" }),
    body: JSON.stringify(fields),
  });
  const body = await answer.json();
  if (answer.ok) return body;
  const wrong = (body.errors || []).map((each) => each.field + ": " + each.detail);
  throw new Error([body.title + ".", body.detail, ...wrong].join(" "));
}

// Until it is decided. A stream ends after some minutes, and with its Store: then another.
async function follow(id, token, shown) {
  for (let pause = 1; ; pause = Math.min(2 * pause, 15)) {
    try {
      if (await listen(id, token, shown.state)) return;
      pause = 1;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // a network that fails is a TypeError
    }
    shown.problem("The connection has ended; asking again.");
    await new Promise((wake) => setTimeout(wake, pause * 1000));
  }
}

// Whether its last state was told. EventSource cannot send a token, so it is read by hand.
async function listen(id, token, tell) {
  const answer = await fetch("/v1/transfers/" + id + "/events", { headers: headers(token) });
  if (answer.status >= 500) return false;
  if (!answer.ok) throw new Error("The events of this transfer cannot be read.");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let decided = false;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return decided;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (!data) continue;
      const status = JSON.parse(data.slice(6));
      decided = !["queued", "committed"].includes(status.state);
      tell(status);
    }
  }
}

// An amount in minor units, as its currency is written: cents, but no hundredths of a yen.
function inMajorUnits(amount, currency) {
  try {
    const format = new Intl.NumberFormat("en", { style: "currency", currency });
    const digits = format.resolvedOptions().maximumFractionDigits;
    return (amount / 10 ** digits).toFixed(digits);
  } catch {
    return String(amount); // no currency that the browser knows
  }
}

function show(id, fields) {
  document.getElementById("none").hidden = true;
  const item = document.getElementById("transfer").content.cloneNode(true).firstElementChild;
  const part = (selector) => item.querySelector(selector);
  const amount = fields.amount;
  const sum = typeof amount === "number" ? inMajorUnits(amount, fields.currency) : amount;
  part(".what").textContent =
    sum + " " + fields.currency + " from " + fields.debit_account + " to " + fields.credit_account;
  part(".memo").textContent = fields.memo;
  part(".id").textContent = id;
  list.prepend(item);
  return {
    state(status) {
      item.dataset.state = status.state;
      part(".problem").hidden = true;
      part("[data-state=queued]").classList.add("done");
      if (status.state === "queued") return;
      part("[data-state=committed]").classList.add("done");
      if (status.state === "committed") return;
      const last = part("[data-state=final]");
      const told = [status.state, status.first_state, status.reason];
      last.textContent = told.filter(Boolean).join(": ");
      last.classList.add(status.state === "posted" ? "posted" : "refused");
    },
    problem(message) {
      const line = part(".problem");
      line.textContent = message;
      line.hidden = false;
    },
    failed(message) {
      item.dataset.state = "failed";
      this.problem(message);
    },
  };
}
